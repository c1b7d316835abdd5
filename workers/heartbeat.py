"""A line of JSON on each open episode, every 20 s, from one worker among those that live."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from budgets import episode_level
from budgets.low import is_low
from ledger.episodes import EpisodeFacts, heartbeat
from ledger.redis_client import Ledger
from ledger.settings import Settings
from workers.context import WorkerContext
from workers.ticker import Ticker, TickerStep

log = logging.getLogger(__name__)
lines = logging.getLogger("apexq.episodes")

LEASE = 1.5  # periods: a worker that did not ask for so long is no longer the one
TRIES = 4  # in a period, of those that are not


class Heartbeat:
    """Asks to be the one that logs, and logs."""

    def __init__(
        self, ledger: Ledger, owner: str, settings: Settings, say: Callable[[str], None]
    ) -> None:
        self._ledger, self._owner, self._settings, self._say = ledger, owner, settings, say
        self.soon_s = settings.heartbeat_s / TRIES

    def tick(self) -> float:
        """Logs if that is this worker's task; returns the seconds until it is to be asked again."""
        return self._settings.heartbeat_s if self.beat() else self.soon_s

    def beat(self) -> bool:
        """Logs the open episodes, if that is this worker's task; returns whether it is."""
        lease_ms = int(self._settings.heartbeat_s * LEASE * 1000)
        episodes = self._ledger.run(heartbeat(self._owner, lease_ms=lease_ms))
        for episode in episodes or ():
            self._say(line_of(episode, self._settings))
        return episodes is not None


def line_of(episode: EpisodeFacts, settings: Settings) -> str:
    """The heartbeat of an episode, as one line of JSON; ``time_remaining`` is in seconds."""
    default = episode_level(episode.tenant, episode.episode_id, settings).default
    budget = default.tokens if episode.limit is None and default else episode.limit
    return json.dumps(
        {
            "event": "episode_heartbeat",
            "time": datetime.fromtimestamp(episode.now_ms / 1000, UTC).isoformat(),
            "tenant": episode.tenant,
            "episode_id": episode.episode_id,
            "tokens_used": episode.spent,
            "token_budget": budget,
            "budget_low": budget is not None and is_low(episode.spent, budget),
            "last_progress": _last_progress(episode),
            "time_remaining": round((episode.deadline_ms - episode.now_ms) / 1000, 3),
        }
    )


def _last_progress(episode: EpisodeFacts) -> dict[str, Any] | None:
    if not episode.progress_ms:
        return None
    return {
        "kind": episode.progress_kind,
        "ago_s": round((episode.now_ms - episode.progress_ms) / 1000, 3),
        "facts": dict(episode.progress_facts),
    }


def to_stdout() -> Callable[[str], None]:
    """The logger of the lines: bare, so that each is valid JSON, on the worker's stdout."""
    if not lines.handlers:
        # Celery puts a proxy in sys.stdout's place that gives each line a prefix.
        handler = logging.StreamHandler(sys.__stdout__)
        handler.setFormatter(logging.Formatter("%(message)s"))
        lines.addHandler(handler)
        lines.setLevel(logging.INFO)
        lines.propagate = False
    return lines.info


class HeartbeatStep(TickerStep):
    """Starts and stops the heartbeat with the worker."""

    def make(self, worker: Any) -> Ticker:
        context: WorkerContext = worker.app.context
        ledger = Ledger(context.settings.redis_url)
        asks = Heartbeat(ledger, context.owner, context.settings, to_stdout())
        return Ticker("heartbeat", asks.tick, pause_s=asks.soon_s)
