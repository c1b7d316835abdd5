"""Where waiting jobs go when instances come and go, as steps of script calls.

An instance that goes (it is absent, or drained) gives its waiting jobs away, each to the next in
its agent's own order, and is closed by the call that finds none left: until then new jobs still
queue behind them. One that comes is opened first, then gets those of its agents' jobs that wait
elsewhere, before those that it was sent meanwhile, and only then begins. So the jobs of an agent
and a priority stay in the order in which they were submitted. Each call is atomic and may be sent
twice; whoever is interrupted leaves the rest to the next run.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from ledger import rehoming
from ledger.errors import CorruptEntry, NoInstance, UnknownModel
from ledger.rehoming import Page, WaitingJob
from ledger.steps import Steps
from routing.registry import Entry, Registry, read_registry
from routing.route import choose

MOST_PAGES = 20  # that one run reads of an instance that goes

Home = Callable[[WaitingJob], str | None]  # None: it stays where it is


@dataclass(slots=True)
class Walk:
    """What a walk through an instance's waiting jobs did; ``staying``: ids of those left there."""

    moved: int = 0
    staying: set[str] = field(default_factory=set)


def rehome(absent_s: float, *, absence_counts: bool = True) -> Steps[int]:
    """Moves what is to be moved now; returns how many jobs. One round trip where nothing is.

    Forgets instances that were to be retired and have nothing to do any more.

    Args:
        absent_s: an instance not heard for this long has gone.
        absence_counts: False for a while after an outage, in which nobody could be heard.
    """
    registry: Registry = yield read_registry()
    moved = 0
    for entry in registry.entries:
        with suppress(CorruptEntry):  # one that is damaged does not keep the others waiting
            if _comes(entry, absent_s):
                moved += yield from settle(entry.name, absent_s)
            elif _goes(entry, absent_s, absence_counts):
                moved += yield from leave(entry.name, absent_s)
            elif entry.retiring:
                yield rehoming.retire(entry.name, noted=True)
    return moved


def leave(instance: str, absent_s: float) -> Steps[int]:
    """Gives away the jobs that wait for a drained or absent instance, and closes it.

    Returns how many were given away; none where it was forgotten meanwhile. Those stay that only
    this instance may run, and those whose model no other living one has. It stays open where no
    other instance lives.
    """
    registry: Registry = yield read_registry()
    others = registry.open_where(lambda one: one.name != instance and one.serves(absent_s))
    entry = next((one for one in others.entries if one.name == instance), None)
    if entry is None:
        return 0

    def home(job: WaitingJob) -> str | None:
        return _home(others, job, absent_s)

    walk = yield from _walk(instance, home, MOST_PAGES, undo_wakeups=entry.drained)
    if any(not one.closed for one in others.entries):
        why: rehoming.Why = "drained" if entry.drained else "absent"
        yield rehoming.close_instance(instance, why, staying=len(walk.staying))
    return walk.moved


def settle(instance: str, absent_s: float) -> Steps[int]:
    """Opens an instance that is ready, and brings it what belongs to it; returns how many jobs.

    Looks at every job that waits anywhere: some 5 µs of Redis for each.
    """
    if not (yield rehoming.open_instance(instance)):
        return 0
    registry: Registry = yield read_registry()

    def home(job: WaitingJob) -> str | None:
        return instance if _home(registry, job, absent_s) == instance else None

    moved = 0
    for entry in registry.entries:
        if entry.name != instance:
            walk = yield from _walk(entry.name, home, before_others=True)
            moved += walk.moved
    yield rehoming.settled(instance)
    return moved


def _walk(
    instance: str,
    home: Home,
    most_pages: int | None = None,
    *,
    undo_wakeups: bool = False,
    before_others: bool = False,
) -> Steps[Walk]:
    """Moves the instance's waiting jobs to their homes.

    Args:
        instance: which one.
        home: of each job.
        most_pages: to read; None: all.
        undo_wakeups: of jobs that stay.
        before_others: at their home.
    """
    walk, after = Walk(), ""
    tried: set[str] = set()  # one that is seen again after a move is damaged, and stays
    for number in itertools.count(1):
        page: Page = yield rehoming.read_waiting(instance, after)
        targets: dict[str, list[str]] = {}
        stay: list[str] = []
        for job in page.jobs:
            target = None if job.job_id in tried else home(job)
            (targets.setdefault(target, []) if target else stay).append(job.job_id)
        for target, job_ids in targets.items():
            walk.moved += yield rehoming.move_jobs(
                job_ids, instance, target, before_others=before_others
            )
        woken = [job.job_id for job in page.jobs[: page.woken] if job.job_id in stay]
        if woken and undo_wakeups:
            yield rehoming.move_jobs(woken, instance, instance, before_others=True)
        tried.update(job.job_id for job in page.jobs)
        walk.staying.update(stay)
        if not page.last or number == most_pages:
            break
        after = stay[-1] if stay else after
    return walk


def _home(registry: Registry, job: WaitingJob, absent_s: float) -> str | None:
    if job.only or not job.agent_id:
        return None
    try:
        return choose(registry, job.agent_id, job.model, absent_s)
    except (NoInstance, UnknownModel):
        return None


def _comes(entry: Entry, absent_s: float) -> bool:
    away = bool(entry.closed) or entry.quiet == "settling"
    return away and not entry.drained and entry.state == "ready" and entry.absent_s < absent_s


def _goes(entry: Entry, absent_s: float, absence_counts: bool) -> bool:
    gone = entry.drained or (absence_counts and entry.absent_s >= absent_s)
    return gone and (entry.load.waiting > 0 or not entry.closed)
