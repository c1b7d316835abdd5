"""The instance that gets an agent's job."""

from __future__ import annotations

from ledger.errors import NoInstance, UnknownModel
from routing.registry import Registry
from routing.rendezvous import rank
from routing.roles import pinned


def choose(registry: Registry, agent_id: str, model: str | None, absent_s: float) -> str:
    """The name of the agent's instance: by its role, else by its hash.

    The same agent gets the same instance for as long as the same instances serve the model, so
    its context stays in one place.

    Args:
        registry: the instances.
        agent_id: whose job it is.
        model: only instances that serve it count; None: all of them.
        absent_s: an instance not heard for this long does not count; one that was away for less,
            such as one being deployed, keeps its agents.

    Raises:
        NoInstance: none is registered, or all that serve the model are absent.
        UnknownModel: none that is registered serves the model.
    """
    serving = [
        entry for entry in registry.entries if model is None or entry.descriptor.model == model
    ]
    if registry.entries and not serving:
        raise UnknownModel(model=model, known=", ".join(registry.models))
    here = [entry.descriptor for entry in serving if entry.absent_s < absent_s]
    if not here:
        raise NoInstance
    own = pinned(agent_id, [(one.name, one.roles) for one in here])
    return own or rank(agent_id, [(one.name, one.weight) for one in here])[0]
