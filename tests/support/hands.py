"""What a worker does with its queue, one step at a time and without a process."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from ledger import keys, recovery
from ledger.jobs import Claim
from ledger.levels import Level
from ledger.priority import Priority
from ledger.redis_client import Ledger
from tests.support import attempts

LISTS = [
    keys.queue("inst0") + (f"{keys.PRIORITY_SEPARATOR}{priority.value}" if priority else "")
    for priority in Priority
]


class Hands:
    """Serves inst0, whose wake-ups are those of :mod:`tests.support.registering`."""

    def __init__(self, ledger: Ledger, *, ageing_ms: int = 0) -> None:
        self._ledger, self._ageing_ms = ledger, ageing_ms

    def take(self) -> Claim:
        """Claims the job of the best wake-up, after a look of whoever reconciles."""
        if self._ageing_ms:
            call = recovery.mend("inst0", patience_ms=60_000, ageing_ms=self._ageing_ms)
            self._ledger.run(call)
        for name in LISTS:
            raw = self._ledger.redis.rpop(name)
            if raw is not None:
                job_id = json.loads(raw)["id"]
                return attempts.claimed(self._ledger, job_id, pid=os.getpid())
        raise AssertionError("no wake-up is in Celery's lists")

    def finish(self, claim: Claim, levels: Sequence[Level] = ()) -> None:
        """Ends a job; its tokens are settled at these levels."""
        assert self._ledger.run(attempts.finish(claim, levels))

    def give_back(self, claim: Claim) -> None:
        """Makes way for a better job."""
        assert self._ledger.run(attempts.requeue(claim, failed=False)) == "queued"

    def serve(self, count: int) -> list[str]:
        """The ids of the next jobs, in their order; all are brought to their end."""
        served = []
        for _ in range(count):
            claim = self.take()
            self.finish(claim)
            served.append(claim.job_id)
        return served
