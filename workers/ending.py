"""How an attempt ends in the ledger: its job succeeds or fails, or is given back."""

from __future__ import annotations

import logging

from ledger import jobs
from ledger.errors import (
    ApexError,
    BackendAuth,
    BackendError,
    JobDead,
    ModelNotFound,
    RateLimited,
    ServerAway,
)
from ledger.jobs import Claim, Rest
from ledger.messages import Request, State
from workers.allowance import Allowance
from workers.answers import keep_answer
from workers.closing import close_job, ended_by
from workers.falling_back import fall_back
from workers.giving_up import give_up
from workers.history import turn_of
from workers.outcome import FENCED, Ended, Outcome
from workers.persist import persist
from workers.place import Place
from workers.reason import reason, told
from workers.so_far import SoFar
from workers.stopped import why_it_must_stop
from workers.unexpected import as_backend_error

log = logging.getLogger(__name__)

PAUSE_S = 1.0  # before the next attempt, where a retriable error says nothing else
REST_S = 5.0  # of an instance, where nobody says for how long its provider takes no requests
LONGEST_PAUSE_S = 3600.0


class Ending:
    """The end of one attempt."""

    def __init__(
        self, place: Place, claim: Claim, request: Request, allowance: Allowance, so_far: SoFar
    ) -> None:
        self._place, self._claim, self._request = place, claim, request
        self._allowance, self._so_far = allowance, so_far

    def succeed(self) -> Ended:
        """Ends the job with what it has made."""
        return self._end(State.SUCCEEDED)

    def stop(self) -> Ended:
        """Ends the job, of which the ledger wants no more, with the reason."""
        place = self._place
        return self._end_with(why_it_must_stop(place.ledger, self._claim.job_id, place.settings))

    def after(self, error: Exception) -> Ended:
        """What follows from an error: another attempt, here or later, or the job's end."""
        match error:
            case RateLimited():
                return self._rest(error)
            case ServerAway():
                return self._with_another_model(error) or self._rest(error)
            case BackendError() if error.facts.get("retriable"):
                return self._try_again(error)
            case ModelNotFound() | BackendAuth():
                return self._with_another_model(error) or self._end_with(error)
            case ApexError():
                return self._end_with(error)
        return self._end_with(as_backend_error(error, self._place, self._claim.job_id))

    def give_back(self, why: str) -> Ended:
        """Leaves the job to its next attempt, which spends none."""
        match self._requeue(why):
            case "queued":
                return Outcome.REQUEUED, why
            case "stopped":
                return self.stop()
        return FENCED

    def _try_again(self, error: BackendError) -> Ended:
        """Leaves the job to its next attempt, after a pause; or gives it up after the last one."""
        pause_s = error.facts.get("retry_after_s") or PAUSE_S
        match self._requeue(reason(error), failed=True, wait_s=min(pause_s, LONGEST_PAUSE_S)):
            case "queued":
                why = told(error)
                log.warning("job %s: %s; the next attempt follows", self._claim.job_id, why)
                return Outcome.REQUEUED, why
            case "stopped":
                return self.stop()
            case "exhausted":
                return self._with_another_model(error) or self._give_up(error)
        return FENCED

    def _give_up(self, error: BackendError) -> Ended:
        place, job_id = self._place, self._claim.job_id
        dead = give_up(place.ledger, place.settings, job_id, place.spec.name, reason(error))
        outcome, why = self._end_with(dead)
        if outcome is Outcome.DEAD:
            why = JobDead(**{**dead.facts, "reason": told(error)}).message
        return outcome, why

    def _with_another_model(self, error: BackendError) -> Ended | None:
        """Leaves the job to the next model of its chain; None where there is none."""
        made = self._so_far.answer
        match fall_back(self._place, self._claim, self._request, error, made):
            case "queued":
                return Outcome.REQUEUED, told(error)
            case "stopped":
                return self.stop()
            case "fenced":
                return FENCED
        return None

    def _rest(self, error: BackendError) -> Ended:
        """Leaves the job first of its band, and has its instance start none for a while."""
        place, why = self._place, told(error)
        said_s = error.facts.get("retry_after_s") or 0
        rest_s = min(said_s if said_s > 0 else REST_S, LONGEST_PAUSE_S)
        rest = Rest(int(rest_s * 1000), patience_ms=int(place.settings.retention_s * 1000))
        match self._requeue(reason(error), rest=rest):
            case "queued":
                log.warning("%s rests for %g s: %s", place.spec.name, rest_s, why)
                return Outcome.REQUEUED, why
            case "stopped":
                return self.stop()
            case "exhausted":
                return self._end_with(error)
        return FENCED

    def _requeue(
        self, why: str, *, failed: bool = False, wait_s: float = 0, rest: Rest | None = None
    ) -> str:
        call = jobs.requeue(
            self._claim.job_id,
            instance=self._place.spec.name,
            fence=self._claim.fence,
            reason=why,
            failed=failed,
            wait_ms=int(wait_s * 1000),
            rest=rest,
        )
        return persist(self._place.ledger, call)

    def _end_with(self, error: ApexError) -> Ended:
        state, self._so_far.finish_reason = ended_by(error)
        return self._end(state, error)

    def _end(self, state: State, error: ApexError | None = None) -> Ended:
        place, claim, request = self._place, self._claim, self._request
        answer, cut_off = self._so_far.answer, self._so_far.finish_reason == "length"
        result = self._so_far.record(state, self._allowance.prompt_tokens, error)
        keep_answer(place, request, result, answer.tokens)
        if cut_off:
            answer = answer._replace(tool_calls=())  # half a call is no use to a later turn
        adds_turn = request.history and state is State.SUCCEEDED
        closed = close_job(
            place.ledger,
            place.settings,
            result,
            request,
            fence=claim.fence,
            model=place.spec.served_model,
            turn=turn_of(claim.job_id, request, answer, place.settings) if adds_turn else None,
        )
        return (Outcome(state), error.unquoted if error else "") if closed else FENCED
