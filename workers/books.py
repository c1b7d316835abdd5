"""Settles attempts of which only the ledger can tell what they have made."""

from __future__ import annotations

import logging

from ledger import jobs, status
from ledger.answer import answer_of
from ledger.errors import ApexError, to_record
from ledger.messages import Result, Timings, Usage
from ledger.redis_client import Ledger
from ledger.settings import Settings
from ledger.status import JobFacts
from workers.closing import close_job, ended_by
from workers.giving_up import events_of, give_up
from workers.persist import persist
from workers.stopped import why_stopped

log = logging.getLogger(__name__)


class Books:
    """Settles attempts in the ledger, whoever made them."""

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._ledger, self._settings = ledger, settings

    def settle(
        self, facts: JobFacts, reason: str, *, model: str, lease_over: bool = False
    ) -> ApexError | None:
        """Has the next attempt follow one that was lost, or ends the job.

        ``model``: of its instance. ``lease_over``: nothing is done unless its lease has run out.

        Returns what the job ended with; None if it goes on.
        """
        job_id = facts.job_id
        error: ApexError | None = why_stopped(self._ledger, facts, self._settings)
        if error is None:
            answer = self._try_again(facts, reason, lease_over)
            if answer == "queued":
                log.warning("job %s: %s; the next attempt follows", job_id, reason)
            if answer == "stopped":  # since its entry was read, which now says why
                entry = persist(self._ledger, status.read_job(job_id))
                if entry is not None and entry.facts.fence == facts.fence:
                    return self.settle(entry.facts, reason, model=model, lease_over=lease_over)
            if answer != "exhausted":
                return None
            error = give_up(self._ledger, self._settings, job_id, facts.instance, reason)
        self.end(facts, error, model=model)
        log.warning("job %s: %s", job_id, error)
        return error

    def _try_again(self, facts: JobFacts, reason: str, lease_over: bool) -> str:
        call = jobs.requeue(
            facts.job_id,
            instance=facts.instance,
            fence=facts.fence,
            reason=reason,
            failed=facts.stop != jobs.LEAVE,  # its worker was told to end
            lease_over=lease_over,
        )
        return persist(self._ledger, call)

    def end(self, facts: JobFacts, error: ApexError, *, model: str) -> bool:
        """Ends a running job with ``error`` and what its readers have; False if fenced off."""
        state, finish_reason = ended_by(error)
        result = Result(
            job_id=facts.job_id,
            state=state,
            **answer_of(events_of(self._ledger, facts.job_id)).fields,
            usage=Usage(prompt_tokens=facts.prompt_tokens, completion_tokens=facts.made),
            finish_reason=finish_reason,
            instance=facts.instance,
            attempt=facts.failures + 1,
            timings=Timings(total_ms=facts.now_ms - facts.submitted_ms),
            error=to_record(error),
        )
        return close_job(
            self._ledger, self._settings, result, facts, fence=facts.fence, model=model
        )
