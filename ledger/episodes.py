"""Episodes: runs of many jobs under one token budget and one deadline."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger import keys
from ledger.errors import EpisodeOver
from ledger.levels import Level
from ledger.scripts import Arg, Call

MOST = 1000  # episodes that one heartbeat tells of


@dataclass(frozen=True, slots=True)
class EpisodeTerms:
    """What each token of an episode's job counts for.

    ``extend_s``: near the deadline it moves that so far away; ``low_at``: the share of the token
    limit at which the job's readers are told.
    """

    level: Level
    extend_s: float
    low_at: float

    @property
    def args(self) -> Sequence[Arg]:
        """As ``emit.lua`` takes them."""
        return (int(self.extend_s * 1000), self.level.limit_arg, self.low_at)


@dataclass(frozen=True, slots=True)
class EpisodeFacts:
    """How an episode stands; times are Redis' own, in ms.

    ``used``: tokens of jobs that ended; ``spent``: of those that run, too. ``progress_ms``: 0 if
    there was none; ``progress_kind``: ``tokens``, or what the caller reported, with its facts.
    """

    tenant: str
    episode_id: str
    now_ms: int
    limit: int | None
    used: int
    held: int
    spent: int
    opened_ms: int
    deadline_ms: int
    progress_ms: int
    progress_kind: str
    progress_facts: Mapping[str, Any]

    @property
    def over(self) -> bool:
        """Whether its deadline has passed."""
        return self.deadline_ms <= self.now_ms


def open_episode(
    level: Level, *, token_budget: int | None, timeout_s: float, cap_s: float
) -> Call[int]:
    """Opens an episode, or finds it open. Reads as its deadline, in ms of Redis' clock."""
    limit = "" if token_budget is None else token_budget
    args = [limit, int(timeout_s * 1000), int(cap_s * 1000), level.keep_arg]
    return Call("open_episode", [level.key, keys.EPISODES], args, int)


def progress(level: Level, *, kind: str, facts: str = "", extend_s: float) -> Call[float]:
    """Reports progress, with ``facts`` as JSON. Near the deadline it moves the deadline.

    Reads as the seconds that are left.

    Raises (when read):
        EpisodeOver: its deadline has passed, or it was never opened.
    """

    def read(left_ms: int | None) -> float:
        if not left_ms:
            raise EpisodeOver(episode_id=level.ids[-1])
        return left_ms / 1000

    return Call("progress", [level.key], [kind, facts, int(extend_s * 1000)], read)


def read_episode(level: Level) -> Call[EpisodeFacts | None]:
    """How an episode stands; None if it was never opened."""

    def read(reply: list[Any] | None) -> EpisodeFacts | None:
        if reply is None:
            return None
        now_ms, row = reply
        return _facts(level.key, now_ms, row, level.default.tokens if level.default else None)

    return Call("read_episode", [level.key], [], read)


def heartbeat(owner: str, *, lease_ms: int) -> Call[list[EpisodeFacts] | None]:
    """Asks to be the one that logs how episodes stand.

    Reads as the open episodes, or None if that is another's task.
    """

    def read(reply: list[Any] | None) -> list[EpisodeFacts] | None:
        if reply is None:
            return None
        now_ms, *found = reply
        return [_facts(key, now_ms, row, None) for key, row in found]

    return Call("heartbeat", [keys.HEARTBEAT, keys.EPISODES], [owner, lease_ms, MOST], read)


def _facts(key: str, now_ms: int, row: list[Any], default_limit: int | None) -> EpisodeFacts:
    tenant, episode_id = keys.budget_ids(key)
    limit, used, held, spent, opened_ms, deadline_ms, progress_ms, kind, facts = row
    return EpisodeFacts(
        tenant=tenant,
        episode_id=episode_id,
        now_ms=now_ms,
        limit=int(limit) if limit else default_limit,
        used=used,
        held=held,
        spent=max(used, spent),
        opened_ms=opened_ms,
        deadline_ms=deadline_ms,
        progress_ms=progress_ms,
        progress_kind=kind,
        progress_facts=json.loads(facts) if facts and kind != "tokens" else {},
    )
