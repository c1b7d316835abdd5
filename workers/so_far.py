"""What a job has made, and its record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ledger.answer import Answer
from ledger.errors import ApexError, to_record
from ledger.jobs import Claim
from ledger.messages import Result, State, Timings, Usage
from workers.place import Place
from workers.sender import Sender


@dataclass(slots=True)
class SoFar:
    """What a job has made: in attempts ``before``, and in this one, by what its ``sender`` sent.

    ``claimed_at``: by the place's clock, in s.
    """

    place: Place
    claim: Claim
    claimed_at: float
    before: Answer = field(default_factory=Answer)
    sender: Sender | None = None
    cached_tokens: int = 0
    finish_reason: Literal["stop", "length", "tool_calls", "error", "cancelled"] = "stop"

    @property
    def answer(self) -> Answer:
        """What a reader has; known once the sender is closed."""
        return self.before.then(self.sender.made) if self.sender else self.before

    def record(self, state: State, prompt_tokens: int, error: ApexError | None) -> Result:
        """The terminal record of a job that ends now."""
        return Result(
            job_id=self.claim.job_id,
            state=state,
            **self.answer.fields,
            usage=Usage(
                prompt_tokens=prompt_tokens,
                completion_tokens=self.claim.made + (self.sender.tokens if self.sender else 0),
                cached_tokens=self.cached_tokens,
            ),
            finish_reason=self.finish_reason,
            instance=self.place.spec.name,
            attempt=self.claim.failures + 1,
            timings=self._timings(),
            error=to_record(error) if error else None,
        )

    def _timings(self) -> Timings:
        queued_ms = self.claim.claimed_ms - self.claim.submitted_ms
        first_at = self.sender.first_at if self.sender else None
        now = self.place.clock.monotonic()
        return Timings(
            queued_ms=queued_ms,
            ttft_ms=None if first_at is None else queued_ms + self._since_claim_ms(first_at),
            total_ms=queued_ms + self._since_claim_ms(now),
        )

    def _since_claim_ms(self, at: float) -> float:
        return round((at - self.claimed_at) * 1000, 3)
