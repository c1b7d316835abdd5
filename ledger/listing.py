"""Which jobs there are. Nothing indexes those that have ended: that would cost every job."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ledger import keys
from ledger.errors import CorruptEntry
from ledger.messages import State
from ledger.scripts import Call
from ledger.status import JobFacts, facts_of

KEYS_AT_ONCE = 1000  # Redis looks through so many in about a millisecond


@dataclass(frozen=True, slots=True)
class Lineup:
    """Jobs of one instance: ``woken`` ones are about to run, or to run again after a failure;
    ``total`` wait in all.
    """

    running: tuple[str, ...]
    woken: tuple[str, ...]
    waiting: tuple[str, ...]
    total: int


def read_lineup(instance: str, *, first: int, count: int) -> Call[Lineup]:
    """The jobs that run on the instance or wait for it; of the waiting ones some."""

    def read(reply: list[Any]) -> Lineup:
        running, woken, waiting, total = reply
        return Lineup(tuple(running), tuple(woken), tuple(waiting), total)

    own = [keys.waiting(instance), keys.woken(instance), keys.running(instance)]
    names = [*own, keys.DELAYED, keys.job("")]
    return Call("list_jobs", names, [first, count, instance], read)


def find_ended(
    cursor: str, *, states: Iterable[State], tenant: str | None, instance: str | None
) -> Call[tuple[str, tuple[str, ...]]]:
    """Looks through some of all keys, from ``cursor`` on; the next cursor ("0": none) and ids."""

    def read(reply: list[Any]) -> tuple[str, tuple[str, ...]]:
        return str(reply[0]), tuple(reply[1:])

    args = [cursor, str(KEYS_AT_ONCE), tenant or "", instance or "", *states]
    return Call("find_ended", [keys.job("")], args, read)


def read_facts(job_ids: Sequence[str]) -> Call[list[JobFacts]]:
    """The jobs' own fields, in order; those that are gone or damaged are left out."""

    def read(reply: list[Any]) -> list[JobFacts]:
        now_ms, *rows = reply
        found = []
        for job_id, flat in zip(job_ids, rows, strict=True):
            try:
                fields = dict(zip(flat[::2], flat[1::2], strict=True))
                found.append(facts_of(job_id, fields, now_ms))
            except CorruptEntry:
                continue
        return found

    return Call("read_facts", [keys.job(job_id) for job_id in job_ids], [], read)
