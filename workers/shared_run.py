"""Equal requests share one run: the others wait for it, and end with its answer."""

from __future__ import annotations

from contextlib import suppress
from typing import Literal

from budgets import levels_of
from ledger import cache, jobs
from ledger.cache import Kept
from ledger.cache_files import CacheFiles
from ledger.cache_key import CacheKey
from ledger.errors import CorruptEntry
from ledger.jobs import Claim
from ledger.messages import Event, Request, State, Timings
from workers.answers import answer_key
from workers.giving_up import retention_ms
from workers.outcome import FENCED, Ended, Outcome
from workers.persist import persist
from workers.place import Place

# Until one that waits looks for itself, for a lost process wakes nobody: the longer it has waited,
# the less often.
PAUSE_MS = 2000
LONGEST_PAUSE_MS = 20_000
SHARES = "shares"  # why such a job was given back


class SharedRun:
    """A claimed job, and the equal ones that may have run before it or run now."""

    def __init__(self, place: Place, claim: Claim, request: Request, key: CacheKey) -> None:
        self._place, self._claim, self._request, self._key = place, claim, request, key

    @classmethod
    def of(cls, place: Place, claim: Claim, request: Request) -> SharedRun | None:
        """None for a job that has nothing to do with the cache."""
        key = answer_key(request, place.spec, place.settings)
        return cls(place, claim, request, key) if key else None

    def begin(self) -> Ended | None:
        """How the job ends, or is given back, without a run of its own; None: it has to run."""
        if self._claim.made:
            return None  # it is in the middle of its own
        match self._look():
            case "run":
                return None
            case "wait":
                return self._wait()
            case kept:
                return self._end_with(kept)

    def end(self, outcome: Outcome) -> None:
        """Wakes those that wait for this run, unless it goes on elsewhere."""
        if outcome in (Outcome.REQUEUED, Outcome.NOOP):
            return
        ledger = self._place.ledger
        with suppress(CorruptEntry):
            for job_id, instance in persist(ledger, cache.end(self._claim.job_id, self._key)):
                persist(ledger, jobs.wake(job_id, instance=instance))

    def _look(self) -> Kept | Literal["wait", "run"]:
        files = CacheFiles.of(self._place.settings)
        kept = files.read(self._key) if files else None
        if kept is not None:
            return kept
        call = cache.begin(self._claim.job_id, self._key, instance=self._place.spec.name)
        try:
            return persist(self._place.ledger, call)
        except CorruptEntry:
            return "run"

    def _wait(self) -> Ended | None:
        call = jobs.requeue(
            self._claim.job_id,
            instance=self._place.spec.name,
            fence=self._claim.fence,
            reason=SHARES,
            failed=False,
            wait_ms=min(PAUSE_MS * self._claim.fence, LONGEST_PAUSE_MS),
        )
        match persist(self._place.ledger, call):
            case "queued":
                return Outcome.REQUEUED, SHARES
            case "stopped":
                return None  # the attempt ends it
        return FENCED

    def _end_with(self, kept: Kept) -> Ended | None:
        place, claim = self._place, self._claim
        try:
            result = kept.result(claim.job_id, place.spec.name)
        except CorruptEntry:
            return None
        if kept.event:
            self._emit(Event.model_validate_json(kept.event))
        queued_ms = claim.claimed_ms - claim.submitted_ms
        timings = Timings(queued_ms=queued_ms, ttft_ms=queued_ms, total_ms=queued_ms)
        call = jobs.finish(
            result.model_copy(update={"attempt": claim.failures + 1, "timings": timings}),
            fence=claim.fence,
            levels=levels_of(self._request, place.settings),
            model=place.spec.served_model,
            retention_ms=retention_ms(State.SUCCEEDED, place.settings),
            usage_ms=int(place.settings.usage_retention_s * 1000),
        )
        return (Outcome.SUCCEEDED, "") if persist(place.ledger, call) else FENCED

    def _emit(self, event: Event) -> None:
        """Sends the whole answer as one chunk, which costs nothing: nothing was made."""
        place, claim = self._place, self._claim
        call = jobs.emit(
            claim.job_id,
            instance=place.spec.name,
            fence=claim.fence,
            chunk=1,
            tokens=0,
            prompt_tokens=0,
            event=event.model_copy(update={"attempt": claim.fence}),
            slots=place.spec.slots,
            yields_to_bands_below=0,
        )
        persist(place.ledger, call)
