"""Moving waiting jobs between instances, and opening and closing instances for new ones.

``ledger/lua/_routes.lua`` says what an instance's entry has of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ledger import keys
from ledger.errors import NoInstance
from ledger.instances import GRACE_MS
from ledger.scripts import Call

Why = Literal["absent", "drained"]

PAGE = 500  # jobs that one script call looks at or moves: a millisecond or two


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """What decides where a waiting job may go; ``only``: the one instance that may run it.

    ``agent_id`` is None where the job is damaged or gone.
    """

    job_id: str
    agent_id: str | None
    only: str | None
    model: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """Some of an instance's waiting jobs, in their order.

    ``last`` of those without a wake-up is empty where none is left. The first ``woken`` of ``jobs``
    have a wake-up, or are held back for their session.
    """

    last: str
    woken: int
    jobs: tuple[WaitingJob, ...]


@dataclass(frozen=True, slots=True)
class Drained:
    """Answer to :func:`drain`: whether that changed anything, and whether new jobs go elsewhere."""

    changed: bool
    closed: bool


def read_waiting(instance: str, after: str = "", count: int = PAGE) -> Call[Page]:
    """The jobs that wait for the instance: ``count`` behind the job ``after``."""

    def read(reply: list[Any]) -> Page:
        last, woken, *rows = reply
        jobs = (WaitingJob(job, *(part or None for part in where)) for job, *where in rows)
        return Page(last, woken, tuple(jobs))

    return Call(
        "read_waiting",
        [
            keys.waiting(instance),
            keys.woken(instance),
            keys.held_back(instance),
            keys.queue(instance),
            keys.job(""),
        ],
        [after, count],
        read,
    )


def move_jobs(
    job_ids: Sequence[str], source: str, target: str, *, before_others: bool = False
) -> Call[int]:
    """Gives waiting jobs of ``source`` to ``target``, in this order; reads as how many.

    They queue behind the jobs that their tenants have there, or before all others of their bands.
    With ``source`` as the target their wake-ups are undone.
    """
    return Call(
        "move_jobs",
        [
            keys.waiting(source),
            keys.woken(source),
            keys.held_back(source),
            keys.queue(source),
            keys.entry(target),
            keys.waiting(target),
            keys.woken(target),
            keys.fair(target),
            keys.queue(target),
            *(keys.job(job_id) for job_id in job_ids),
        ],
        [source, target, "first" if before_others else "share", *job_ids],
        int,
    )


def close_instance(instance: str, why: Why, *, staying: int) -> Call[bool]:
    """Has new jobs of its agents go elsewhere, unless more than ``staying`` jobs wait for it."""
    return Call(
        "close",
        [
            keys.entry(instance),
            keys.waiting(instance),
            keys.woken(instance),
            keys.INSTANCES,
        ],
        [instance, why, staying],
        bool,
    )


def open_instance(instance: str) -> Call[bool]:
    """Has jobs of its agents come again, which wait until :func:`settled`.

    Reads as False if it is drained or not ready.
    """
    return Call(
        "open",
        [keys.entry(instance), keys.INSTANCES, keys.ROUTES, keys.entry("")],
        [instance],
        bool,
    )


def settled(instance: str) -> Call[bool]:
    """Says that all jobs that belong to an opened instance were brought."""
    return Call(
        "settled",
        [
            keys.entry(instance),
            keys.waiting(instance),
            keys.woken(instance),
            keys.fair(instance),
            keys.queue(instance),
        ],
        [],
        bool,
    )


def drain(instance: str, *, resume: bool = False) -> Call[Drained]:
    """Has an instance start no more jobs, also after a restart of its worker; or start jobs again.

    Raises (when read):
        NoInstance: none of this name has registered.
    """

    def read(reply: list[int] | None) -> Drained:
        if reply is None:
            raise NoInstance(
                f"There is no instance {instance!r}; `apexq status` shows those that registered."
            )
        changed, closed = reply
        return Drained(bool(changed), bool(closed))

    return Call(
        "drain",
        [
            keys.entry(instance),
            keys.waiting(instance),
            keys.woken(instance),
            keys.fair(instance),
            keys.queue(instance),
            keys.INSTANCES,
        ],
        [instance, int(not resume)],
        read,
    )


def retire(instance: str, *, noted: bool = False) -> Call[bool]:
    """Forgets a drained instance that has no worker any more; False if it is not drained, or has
    jobs or a worker: then whoever reconciles forgets it as soon as it has none.

    ``noted``: only if that has been asked for before, and nobody has served it or resumed it since.
    """
    return Call(
        "retire",
        [
            keys.entry(instance),
            keys.waiting(instance),
            keys.woken(instance),
            keys.running(instance),
            keys.held_back(instance),
            keys.fair(instance),
            keys.leaving(instance),
            keys.INSTANCES,
            keys.SEEN,
            keys.DELAYED,
            keys.job(""),
        ],
        [instance, GRACE_MS, int(noted)],
        bool,
    )
