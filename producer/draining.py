"""Taking an instance out of service and back, as steps."""

from __future__ import annotations

from dataclasses import dataclass

from ledger import rehoming
from ledger.overview import InstanceFacts, read_entries
from ledger.rehoming import Drained
from ledger.steps import Steps
from producer.arguments import IDENTIFIER, check
from routing.rehoming import leave, settle


@dataclass(frozen=True, slots=True)
class Shift:
    """What draining or resuming an instance did.

    ``changed`` is False where it was so already. ``moved``: waiting jobs that went to other
    instances, or came back from them; ``waiting`` and ``running``: those that it has now.
    """

    instance: str
    drained: bool
    changed: bool
    moved: int
    waiting: int
    running: int


def drain(instance: str, absent_s: float) -> Steps[Shift]:
    """Has the instance finish what runs and start nothing more; what waits goes elsewhere.

    Jobs wait on that only this instance may run, or whose model no other living one has.

    Raises:
        NoInstance: none of this name has registered.
    """
    check("instance", instance, IDENTIFIER)
    answer: Drained = yield rehoming.drain(instance)
    moved = 0
    while some := (yield from leave(instance, absent_s)):
        moved += some
    return (yield from _shift(instance, answer, moved))


def resume(instance: str, absent_s: float) -> Steps[Shift]:
    """Has a drained instance take jobs again, and brings back those of its agents that wait.

    One whose worker is not ready gets them when it is.

    Raises:
        NoInstance: none of this name has registered.
    """
    check("instance", instance, IDENTIFIER)
    answer: Drained = yield rehoming.drain(instance, resume=True)
    moved = (yield from settle(instance, absent_s)) if answer.closed else 0
    return (yield from _shift(instance, answer, moved))


def _shift(instance: str, answer: Drained, moved: int) -> Steps[Shift]:
    entries: list[InstanceFacts] = yield read_entries([instance])
    now = entries[0]
    return Shift(instance, now.drained, answer.changed, moved, now.waiting, now.running)
