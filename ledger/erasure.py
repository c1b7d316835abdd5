"""Erasing what the ledger has of a tenant, or of one session.

Nothing lists a tenant's jobs: that would cost every job something, for what is done once a year.
So all keys are looked through, some at a time, by Redis itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ledger import keys
from ledger.messages import State
from ledger.scripts import Arg, Call

KEYS_AT_ONCE = 1000  # Redis looks through so many in about a millisecond


@dataclass(frozen=True, slots=True)
class Target:
    """Whose things: all of a tenant, or those of one session, which has an agent too."""

    tenant: str
    agent_id: str | None = None
    session_id: str | None = None

    @property
    def keys(self) -> list[str]:
        """Keys that are known by name: turns and budgets, not usage, which goes by itself."""
        if self.agent_id is None or self.session_id is None:
            return [keys.budget("tenant", self.tenant), keys.budgets_set(self.tenant)]
        ids = (self.tenant, self.agent_id, self.session_id)
        return [keys.session(*ids), keys.budget("session", *ids)]

    @property
    def prefixes(self) -> list[str]:
        """How the names of further keys begin."""
        if self.session_id is not None:
            return []
        scopes = ("agent", "role", "session", "episode")
        begun = [keys.session(self.tenant), *(keys.budget(scope, self.tenant) for scope in scopes)]
        waits = [keys.cache_run(self.tenant, ""), keys.cache_parked(self.tenant, "")]
        return [*(f"{prefix}:" for prefix in begun), *waits]


@dataclass(frozen=True, slots=True)
class Page:
    """What was found among some of the keys; ``cursor`` leads to the next ones, "0" to none.

    ``jobs``: id and whether it has ended.
    """

    cursor: str
    jobs: tuple[tuple[str, bool], ...]
    keys: tuple[str, ...]


def find(target: Target, *, cursor: str = "0") -> Call[Page]:
    """Looks through some of all keys, from ``cursor`` on. A key may be found twice."""

    def read(reply: list[Any]) -> Page:
        cursor, found, names = reply
        jobs = tuple(
            (job_id, state not in (State.QUEUED, State.RUNNING))
            for job_id, state in zip(found[::2], found[1::2], strict=True)
        )
        return Page(str(cursor), jobs, tuple(names))

    whose = [target.tenant, target.agent_id or "", target.session_id or ""]
    args: list[Arg] = [cursor, KEYS_AT_ONCE, *whose, *target.prefixes]
    return Call("find_keys", [keys.PREFIX, keys.job("")], args, read)


def erase_job(job_id: str) -> Call[bool]:
    """Removes a job that has ended. Reads as False if it has not."""
    names = [keys.job(job_id), keys.request(job_id), keys.stream(job_id), keys.result(job_id)]
    return Call("erase_job", names, [], bool)


def erase_keys(names: Sequence[str]) -> Call[int]:
    """Removes turns and budget levels; levels that hold tokens of jobs under way stay.

    Reads as how many were removed.
    """
    return Call("erase_keys", names, [], int)
