"""What a worker does with its queue, one step at a time and without a process."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence

from ledger import jobs, keys, recovery
from ledger.jobs import Claim
from ledger.levels import Level
from ledger.messages import Result, State
from ledger.priority import Priority
from ledger.redis_client import Ledger
from tests.support.registering import OWNER

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
                return self._claim(json.loads(raw)["id"])
        raise AssertionError("no wake-up is in Celery's lists")

    def finish(self, claim: Claim, levels: Sequence[Level] = ()) -> None:
        """Ends a job; its tokens are settled at these levels."""
        result = Result(job_id=claim.job_id, state=State.SUCCEEDED, instance="inst0")
        assert self._ledger.run(jobs.finish(result, fence=claim.fence, levels=levels))

    def give_back(self, claim: Claim) -> None:
        """Makes way for a better job."""
        call = jobs.requeue(
            claim.job_id, instance="inst0", fence=claim.fence, reason="yield", failed=False
        )
        assert self._ledger.run(call) == "queued"

    def serve(self, count: int) -> list[str]:
        """The ids of the next jobs, in their order; all are brought to their end."""
        served = []
        for _ in range(count):
            claim = self.take()
            self.finish(claim)
            served.append(claim.job_id)
        return served

    def _claim(self, job_id: str) -> Claim:
        claim = self._ledger.run(
            jobs.claim(
                job_id,
                instance="inst0",
                owner=OWNER,
                pid=os.getpid(),
                lease_ms=60_000,
                nonce=uuid.uuid4().hex,
            )
        )
        assert isinstance(claim, Claim)
        return claim
