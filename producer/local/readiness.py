"""Waiting until every instance's model is loaded, by the instances' own announcements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ledger import keys
from ledger.errors import StackFailed
from ledger.redis_client import AsyncLedger

SILENCE_S = 1.0  # after that long without an announcement the entries are read anyway


class Readiness:
    """Which instances are not ready yet."""

    def __init__(self, ledger: AsyncLedger, pids: Mapping[str, int]) -> None:
        """``pids``: each instance's worker, so that a former one's entry is not taken for it."""
        self._ledger = ledger
        self.pending = dict(pids)

    async def wait(self) -> None:
        """Returns when all are ready.

        Raises:
            StackFailed: one could not load its model.
            RedisUnavailable: Redis does not answer.
        """
        async with self._ledger.subscription(keys.INSTANCES) as announcements:
            while True:
                await self.look()
                if not self.pending:
                    return
                await announcements.next(SILENCE_S)

    async def look(self) -> None:
        """Reads the entries of those that are pending; raises as :meth:`wait`."""
        async with self._ledger.translated():
            pipe: Any = self._ledger.redis.pipeline(transaction=False)
            for name in self.pending:
                pipe.hmget(keys.entry(name), "pid", "state", "why")
            entries = await pipe.execute()
        for (name, worker), (pid, state, why) in zip(
            list(self.pending.items()), entries, strict=True
        ):
            if pid != str(worker):
                continue
            if state == "failed":
                raise StackFailed(f"Instance {name} could not load its model: {why}")
            if state == "ready":
                del self.pending[name]
