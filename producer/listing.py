"""Which jobs run, wait or have ended, as steps."""

from __future__ import annotations

from dataclasses import dataclass

import routing
from ledger import listing
from ledger.listing import Lineup
from ledger.messages import State
from ledger.status import JobFacts
from ledger.steps import Steps

LIVE = (State.RUNNING, State.QUEUED)
AT_ONCE = 500
MOST_JOBS = 10_000  # that are looked at for one instance
MOST_KEYS = 200_000  # that are looked through for ended jobs: 0.2 s of Redis' time


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which jobs; None: any."""

    states: frozenset[State] = frozenset(LIVE)
    instance: str | None = None
    tenant: str | None = None
    limit: int = 50

    def takes(self, facts: JobFacts) -> bool:
        """Whether the job is one of them."""
        return facts.state in self.states and self.tenant in (None, facts.tenant)


@dataclass(frozen=True, slots=True)
class Listing:
    """Jobs that were found; ``complete`` if there are no others."""

    jobs: tuple[JobFacts, ...]
    complete: bool


def list_jobs(wanted: Wanted) -> Steps[Listing]:
    """The jobs that run, then those that wait, in the order of their bands; then ended ones, the
    latest first.
    """
    found: list[JobFacts] = []
    complete = True
    if not wanted.states.isdisjoint(LIVE):
        for name in (yield from _instances(wanted)):
            live = yield from _live(name, wanted)
            found += live.jobs
            complete = complete and live.complete
        # Sorting is stable: within a band they stay in the order in which they are served.
        found.sort(key=lambda one: (one.state is not State.RUNNING, one.band))
    ended = wanted.states.difference(LIVE)
    if ended:
        past = yield from _ended(wanted, ended)
        found += past.jobs
        complete = complete and past.complete
    return Listing(tuple(found[: wanted.limit]), complete and len(found) <= wanted.limit)


def _instances(wanted: Wanted) -> Steps[list[str]]:
    if wanted.instance is not None:
        return [wanted.instance]
    registry: routing.Registry = yield routing.read_registry()
    return [entry.descriptor.name for entry in registry.entries]


def _live(instance: str, wanted: Wanted) -> Steps[Listing]:
    """Of one instance, up to one more than is wanted."""
    found: dict[str, JobFacts] = {}
    first = 0
    while True:
        lineup: Lineup = yield listing.read_lineup(instance, first=first, count=AT_ONCE)
        ids = [*lineup.running, *lineup.woken, *lineup.waiting] if first == 0 else lineup.waiting
        facts: list[JobFacts] = yield listing.read_facts(list(ids))
        found |= {one.job_id: one for one in facts if wanted.takes(one)}
        first += AT_ONCE
        if len(found) > wanted.limit or not lineup.waiting or first >= MOST_JOBS:
            return Listing(tuple(found.values()), complete=not lineup.waiting)


def _ended(wanted: Wanted, states: frozenset[State]) -> Steps[Listing]:
    found: dict[str, JobFacts] = {}
    cursor, looked = "0", 0
    while True:
        call = listing.find_ended(
            cursor, states=states, tenant=wanted.tenant, instance=wanted.instance
        )
        cursor, ids = yield call
        if ids:
            facts: list[JobFacts] = yield listing.read_facts(ids)
            found |= {one.job_id: one for one in facts if wanted.takes(one)}
        looked += listing.KEYS_AT_ONCE
        if cursor == "0" or looked >= MOST_KEYS:
            break
    latest = sorted(found.values(), key=lambda one: one.ended_ms, reverse=True)
    return Listing(tuple(latest), complete=cursor == "0")
