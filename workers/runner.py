"""Runs jobs on a backend, from the wake-up on. Knows nothing of Celery."""

from __future__ import annotations

import logging
import uuid

from pydantic import ValidationError

from ledger import forgetting, jobs, status
from ledger.clock import Clock, SystemClock
from ledger.errors import ApexError, CorruptEntry
from ledger.jobs import Claim, Noop
from ledger.messages import SCHEMA_VERSION, Request, version_of
from ledger.redis_client import Ledger
from ledger.settings import InstanceSpec, Settings
from workers.attempt import Attempt
from workers.backends import Backend
from workers.books import Books
from workers.closing import ended_by
from workers.outcome import FENCED, Ended, Outcome
from workers.persist import persist
from workers.place import Place
from workers.shared_run import SharedRun
from workers.stopped import why_it_must_stop

__all__ = ["Outcome", "Runner"]

log = logging.getLogger(__name__)

NEWER_PAUSE_MS = 10_000  # until a job that a newer release has written is tried again


class Runner:
    """Serves one instance in one process: hands its jobs to the backend, one at a time."""

    def __init__(
        self,
        ledger: Ledger,
        backend: Backend,
        spec: InstanceSpec,
        settings: Settings,
        *,
        owner: str,
        pid: int,
        clock: Clock | None = None,
    ) -> None:
        self.ledger = ledger
        self._place = Place(ledger, backend, spec, settings, clock or SystemClock())
        self._owner, self._pid = owner, pid
        self._attempt: Attempt | None = None

    def run(self, job_id: str) -> Ended:
        """Claims the job and brings it to an end.

        Returns the outcome, and for a job that failed the sentence that says why. A wake-up that
        no longer applies is a ``noop``, with the job's state.
        """
        if forgetting.is_note(job_id):
            return self._forget(job_id)
        claim = persist(
            self.ledger,
            jobs.claim(
                job_id,
                instance=self._place.spec.name,
                owner=self._owner,
                pid=self._pid,
                lease_ms=int(self._place.settings.lease_s * 1000),
                nonce=uuid.uuid4().hex,
            ),
        )
        if isinstance(claim, Noop):
            if claim.state == "corrupt":
                log.error("%s", CorruptEntry(job_id=job_id))
            return Outcome.NOOP, claim.state
        try:
            request = Request.model_validate_json(claim.request)
        except ValidationError:
            if version_of(claim.request) > SCHEMA_VERSION:
                return self._leave_to_a_newer_worker(claim)
            error = CorruptEntry(job_id=job_id)
            log.error("%s", error)
            return self._end_unread(claim, error)
        shared = SharedRun.of(self._place, claim, request)
        if shared is not None and (answered := shared.begin()) is not None:
            return answered
        self._attempt = Attempt(self._place, claim, request)
        try:
            outcome = self._attempt.run()
        finally:
            self._attempt = None
        if shared is not None:
            shared.end(outcome[0])
        if request.history and self._place.spec.slots > 1:
            persist(self.ledger, jobs.release(self._place.spec.name))
        return outcome

    def heed(self) -> None:
        """Has the attempt that is made look whether it is still wanted. For another thread.

        Raises:
            RedisUnavailable
        """
        attempt = self._attempt
        if attempt is not None:
            attempt.heed()

    def _forget(self, note_id: str) -> Ended:
        """Has the backend forget what it keeps of sessions that were erased."""
        call = forgetting.read(note_id, instance=self._place.spec.name)
        whose = persist(self.ledger, call)
        if whose is None:
            return Outcome.NOOP, "gone"
        self._place.backend.forget(*whose)
        persist(self.ledger, forgetting.drop(note_id))
        return Outcome.SUCCEEDED, ""

    def _leave_to_a_newer_worker(self, claim: Claim) -> Ended:
        """Lets a job wait that a newer release has written; in an upgrade its worker comes soon."""
        name = self._place.spec.name
        log.error(
            "job %s was written by a newer version of apexq (schema %d, and this worker reads %d); "
            "it waits until the worker of %s is upgraded.",
            claim.job_id,
            version_of(claim.request),
            SCHEMA_VERSION,
            name,
        )
        call = jobs.requeue(
            claim.job_id,
            instance=name,
            fence=claim.fence,
            reason="newer",
            failed=False,
            wait_ms=NEWER_PAUSE_MS,
        )
        match persist(self.ledger, call):
            case "queued":
                return Outcome.REQUEUED, "newer"
            case "stopped":
                settings = self._place.settings
                return self._end_unread(
                    claim, why_it_must_stop(self.ledger, claim.job_id, settings)
                )
        return FENCED

    def _end_unread(self, claim: Claim, error: ApexError) -> Ended:
        """Ends a job whose request cannot be read; the ledger still knows who pays."""
        entry = persist(self.ledger, status.read_job(claim.job_id))
        if entry is None or entry.facts.fence != claim.fence:
            return FENCED
        books, model = Books(self.ledger, self._place.settings), self._place.spec.served_model
        if not books.end(entry.facts, error, model=model):
            return FENCED
        return Outcome(ended_by(error)[0]), error.message
