"""Equal requests share one run: the others wait for it, and end with its answer."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Literal

from ledger import cache, jobs
from ledger.cache import Kept
from ledger.cache_files import CacheFiles
from ledger.cache_key import CacheKey
from ledger.errors import CorruptEntry
from ledger.jobs import Claim
from ledger.messages import Event, Request, Timings
from workers.answers import answer_key
from workers.attempt import Attempt
from workers.closing import close_job
from workers.outcome import FENCED, Ended, Outcome
from workers.persist import persist, until_back
from workers.place import Place

# Until one that waits looks for itself, for a lost process wakes nobody: the longer it has waited,
# the less often.
PAUSE_MS = 2000
LONGEST_PAUSE_MS = 20_000
APART_MS = 60_000  # for which equal ones do not wait, after one whose answer could not be kept
AT_ONCE = 100  # jobs that are woken in one round trip
SHARES = "shares"  # why such a job was given back


class SharedRun:
    """A claimed job, and the equal ones that may have run before it or run now."""

    def __init__(self, place: Place, claim: Claim, request: Request, key: CacheKey) -> None:
        self._place, self._claim, self._request, self._key = place, claim, request, key

    @classmethod
    def of(cls, place: Place, claim: Claim, request: Request) -> SharedRun | None:
        """None for a job that has nothing to do with the cache."""
        key = answer_key(place, request)
        return cls(place, claim, request, key) if key else None

    def begin(self) -> Ended | None:
        """How the job ends, or is given back, without a run of its own; None: it has to run."""
        begun = self._claim.made or self._claim.prompt_tokens  # text may have no token of its own
        if begun or self._claim.episode_over:
            return None  # it is in the middle of its own, or too late for any
        match self._look():
            case "run":
                return None
            case "wait":
                return self._wait()
            case kept:
                ended = self._end_with(kept)
                if ended is not None and self._claim.fence > 1:  # it may have begun before another
                    self.end(ended[0])
                return ended

    def end(self, outcome: Outcome) -> None:
        """Wakes those that wait for this run, unless it goes on elsewhere."""
        if outcome in (Outcome.REQUEUED, Outcome.NOOP):
            return
        # One that was cancelled says nothing of the others, who could still share a run.
        apart = outcome is not Outcome.CANCELLED and self._kept_in_files() is None
        call = cache.end(self._claim.job_id, self._key, apart_ms=APART_MS if apart else 0)
        ledger = self._place.ledger
        with suppress(CorruptEntry):
            wakes = [jobs.wake(job, instance=instance) for job, instance in persist(ledger, call)]
            for first in range(0, len(wakes), AT_ONCE):
                some = wakes[first : first + AT_ONCE]
                # One that is damaged keeps no other from being woken.
                until_back(partial(ledger.run_many, some))

    def _kept_in_files(self) -> Kept | None:
        files = CacheFiles.of(self._place.settings)
        return files.read(self._key) if files else None

    def _look(self) -> Kept | Literal["wait", "run"]:
        kept = self._kept_in_files()
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
            shares=True,
            wait_ms=min(PAUSE_MS * self._claim.fence, LONGEST_PAUSE_MS),
        )
        match persist(self._place.ledger, call):
            case "queued":
                return Outcome.REQUEUED, SHARES
            case "stopped":
                return Attempt(self._place, self._claim, self._request).stop()
        return FENCED

    def _end_with(self, kept: Kept) -> Ended | None:
        place, claim = self._place, self._claim
        try:
            result = kept.result(claim.job_id, place.spec.name)
            answer = self._as_own(kept.event) if kept.event else ""
        except (CorruptEntry, ValueError):  # it is damaged
            return None
        queued_ms = claim.claimed_ms - claim.submitted_ms
        timings = Timings(queued_ms=queued_ms, ttft_ms=queued_ms, total_ms=queued_ms)
        closed = close_job(
            place.ledger,
            place.settings,
            result.model_copy(update={"attempt": claim.failures + 1, "timings": timings}),
            self._request,
            fence=claim.fence,
            model=place.spec.served_model,
            answer=answer,
        )
        return (Outcome.SUCCEEDED, "") if closed else FENCED

    def _as_own(self, event: str) -> str:
        """The event that has the whole answer, as one of this attempt."""
        said = Event.model_validate_json(event)
        return said.model_copy(update={"attempt": self._claim.fence}).body()
