"""The instance that gets an agent's job."""

from __future__ import annotations

from ledger.errors import NoInstance, UnknownModel
from routing.registry import Entry, Registry
from routing.rendezvous import rank
from routing.roles import pinned


def choose(
    registry: Registry,
    agent_id: str,
    model: str | None,
    absent_s: float,
    instance: str | None = None,
) -> str:
    """The name of the agent's instance: by its role, else by its hash.

    The same agent gets the same instance for as long as the same instances serve the model, so
    its context stays in one place.

    Args:
        registry: the instances.
        agent_id: whose job it is.
        model: only instances that serve it count; None: all of them.
        absent_s: an instance not heard for this long does not count; one that was away for less,
            such as one being deployed, keeps its agents.
        instance: only this one counts.

    Raises:
        NoInstance: none is registered, or all that count are absent.
        UnknownModel: none that is registered serves the model.
    """
    entries = registry.entries if instance is None else _only(registry, instance)
    serving = [entry for entry in entries if model is None or entry.descriptor.model == model]
    if entries and not serving:
        raise UnknownModel(model=model, known=", ".join(registry.models))
    here = [entry.descriptor for entry in serving if entry.absent_s < absent_s]
    if not here:
        raise NoInstance(_absent(instance) if entries and instance else None)
    own = pinned(agent_id, [(one.name, one.roles) for one in here])
    return own or rank(agent_id, [(one.name, one.weight) for one in here])[0]


def _only(registry: Registry, instance: str) -> tuple[Entry, ...]:
    found = tuple(entry for entry in registry.entries if entry.descriptor.name == instance)
    if registry.entries and not found:
        known = ", ".join(entry.descriptor.name for entry in registry.entries)
        raise NoInstance(
            f"There is no instance {instance!r}; registered: {known}; nothing was enqueued."
        )
    return found


def _absent(instance: str) -> str:
    return (
        f"{instance} is absent: start it with `celery -A workers worker -Q {instance}`; "
        "nothing was enqueued."
    )
