"""The instance that gets an agent's job."""

from __future__ import annotations

from collections.abc import Sequence

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
    """The name of the agent's instance: by its role, else by its hash; raises as :func:`order`.

    The same agent gets the same instance for as long as the same instances serve the model, so
    its context stays in one place.
    """
    return order(registry, agent_id, model, absent_s, instance)[0]


def order(
    registry: Registry,
    agent_id: str,
    model: str | None,
    absent_s: float,
    instance: str | None = None,
) -> list[str]:
    """The names of the instances that the agent may go to, its own first.

    An instance that is not heard any more keeps its agents until its jobs were moved and it was
    closed: an agent's next job must not be served before those that still wait there.

    Args:
        registry: the instances.
        agent_id: whose job it is.
        model: only instances that serve it count; None: all of them.
        absent_s: an instance not heard for this long is absent.
        instance: only this one counts.

    Raises:
        NoInstance: none is registered, or all that count are absent or closed.
        UnknownModel: none that is registered serves the model.
    """
    entries = registry.entries if instance is None else _only(registry, instance)
    serving = [entry for entry in entries if model is None or entry.descriptor.model == model]
    if entries and not serving:
        raise UnknownModel(model=model, known=", ".join(registry.models))
    here = [entry for entry in serving if not entry.closed or (instance and not entry.drained)]
    if all(entry.absent_s >= absent_s for entry in here):
        if instance and serving:
            raise NoInstance(_why_not(serving[0]))
        raise NoInstance(_why_none(serving, model, absent_s) if serving else None)
    ranked = rank(agent_id, [(one.name, one.descriptor.weight) for one in here])
    # A role's place is counted among all that registered, or one that goes would move other roles.
    own = pinned(agent_id, [(one.name, one.descriptor.roles) for one in serving])
    if own in ranked:
        ranked.remove(own)
        ranked.insert(0, own)
    return ranked


def _only(registry: Registry, instance: str) -> tuple[Entry, ...]:
    found = tuple(entry for entry in registry.entries if entry.name == instance)
    if registry.entries and not found:
        known = ", ".join(entry.name for entry in registry.entries)
        raise NoInstance(
            f"There is no instance {instance!r}; registered: {known}; nothing was enqueued."
        )
    return found


def _why_not(entry: Entry) -> str:
    if entry.drained:
        return (
            f"{entry.name} is drained: `apexq resume {entry.name}` has it take jobs again; "
            "nothing was enqueued."
        )
    return (
        f"{entry.name} is absent: start it with `celery -A workers worker -Q {entry.name}`; "
        "nothing was enqueued."
    )


def _why_none(serving: Sequence[Entry], model: str | None, absent_s: float) -> str:
    drained = next((one for one in serving if one.drained and one.absent_s < absent_s), None)
    return (
        "No live instance"
        + (f" serves the model {model!r}: " if model else ": ")
        + (
            f"`apexq resume {drained.name}` has {drained.name} take jobs again"
            if drained
            else f"start one with `celery -A workers worker -Q {serving[0].name}` or `apexq up`"
        )
        + "; nothing was enqueued."
    )
