"""Runs jobs on a backend: claim, count, generate, finish. Knows nothing of Celery."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import closing
from enum import StrEnum

from pydantic import ValidationError

from budgets import levels_of
from ledger import jobs, status, stream
from ledger.clock import Clock, SystemClock
from ledger.errors import (
    ApexError,
    BackendError,
    BudgetExceeded,
    ContextTooLong,
    CorruptEntry,
    DeadlineExceeded,
    InvalidRequest,
    JobCancelled,
    to_record,
)
from ledger.jobs import Claim, Noop
from ledger.messages import Request, Result, State, Timings, Usage
from ledger.redis_client import Ledger
from ledger.settings import InstanceSpec, Settings
from workers.backends import Backend, Piece, Run
from workers.persist import persist, until_back
from workers.sender import Sender

log = logging.getLogger(__name__)

SAMPLING = (
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "seed",
    "logit_bias",
    "response_format",
    "tools",
)


class Outcome(StrEnum):
    """How a wake-up ended for this worker."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REQUEUED = "requeued"
    NOOP = "noop"


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
        self.ledger, self.backend, self.spec, self.settings = ledger, backend, spec, settings
        self.clock = clock or SystemClock()
        self._owner, self._pid = owner, pid

    def run(self, job_id: str) -> tuple[Outcome, str]:
        """Claims the job and brings it to an end.

        Returns the outcome, and for a job that failed the sentence that says why. A wake-up that
        no longer applies is a ``noop``.
        """
        claim = persist(
            self.ledger,
            jobs.claim(
                job_id,
                instance=self.spec.name,
                owner=self._owner,
                pid=self._pid,
                lease_ms=int(self.settings.lease_s * 1000),
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
            log.error("%s", error := CorruptEntry(job_id=job_id))
            return self._close_corrupt(claim, error)
        return Attempt(self, claim, request).run()

    def _close_corrupt(self, claim: Claim, error: CorruptEntry) -> tuple[Outcome, str]:
        """Ends a job whose request cannot be read; the ledger still knows who pays."""
        entry = persist(self.ledger, status.read_job(claim.job_id))
        levels = levels_of(entry.facts, self.settings) if entry else ()
        result = Result(
            job_id=claim.job_id,
            state=State.FAILED,
            finish_reason="error",
            instance=self.spec.name,
            error=to_record(error),
        )
        persist(self.ledger, jobs.finish(result, fence=claim.fence, levels=levels))
        return Outcome.FAILED, error.message


class Attempt:
    """One attempt at one job."""

    def __init__(self, runner: Runner, claim: Claim, request: Request) -> None:
        self._runner, self._claim, self._request = runner, claim, request
        self._backend, self._ledger, self._clock = runner.backend, runner.ledger, runner.clock
        self._levels = levels_of(request, runner.settings)
        self._claimed_at = self._clock.monotonic()
        self._sender: Sender | None = None
        self._prompt_tokens = 0
        self._text_before = ""
        self._finish_reason = "stop"

    def run(self) -> tuple[Outcome, str]:
        """Brings the job to an end, or gives it back when something better waits."""
        try:
            control = self._generate()
        except ApexError as error:
            return self._end_with(error)
        except Exception as error:
            log.exception("job %s: the backend %s failed", self._claim.job_id, self._spec.backend)
            return self._end_with(
                BackendError(
                    f"The backend {self._spec.backend} failed: {type(error).__name__}: {error}",
                    backend=self._spec.backend,
                    retriable=False,
                )
            )
        match control:
            case "go":
                return self._end(State.SUCCEEDED)
            case "yield":
                return self._give_back("yield")
            case "cancel":
                self._finish_reason = "cancelled"
                return self._end(State.CANCELLED, JobCancelled(job_id=self._claim.job_id))
            case "deadline":
                return self._end_with(DeadlineExceeded(timeout_s=self._request.timeout_s))
            case "budget":
                self._finish_reason = "length"
                return self._end(State.SUCCEEDED)
        return Outcome.NOOP, "fenced"

    @property
    def _spec(self) -> InstanceSpec:
        return self._runner.spec

    def _generate(self) -> jobs.Control:
        """Streams the answer; returns the ledger's last word, ``go`` when it is complete."""
        claim, request = self._claim, self._request
        self._refuse_unknown_options()
        if self._runner.settings.log_prompts:
            log.info("job %s is asked: %s", claim.job_id, " | ".join(request.texts))
        self._prompt_tokens = self._backend.count_tokens(request)
        budget = self._tokens_allowed()
        if budget is None:
            return "fenced"
        abilities = self._backend.abilities
        resumes = claim.made > 0 and abilities.continues
        if resumes:
            self._text_before = self._text_so_far()
        if budget == 0:
            self._finish_reason = "length"
            return "go"
        run = Run(request, budget, self._text_before, claim.failures + 1)
        sender = self._sender = Sender(
            self._ledger,
            claim,
            self._spec,
            prompt_tokens=self._prompt_tokens,
            yields_to_bands_below=(
                request.priority.yields_to_bands_below if abilities.continues else 0
            ),
            on_stop=run.stop.set,
            clock=self._clock,
        )
        try:
            if claim.made > 0 and not resumes:
                sender.reset()
            complete = self._feed(sender, run)
        finally:
            control = sender.close()
        if control in ("yield", "deadline") and complete and sender.delivered_all:
            return "go"  # the word came with the last chunk
        return control

    def _feed(self, sender: Sender, run: Run) -> bool:
        """Hands the backend's pieces to the sender; True if the answer came to its own end."""
        pieces: Iterator[Piece] = self._backend.stream(run)
        made = 0
        with closing(pieces):  # type: ignore[type-var]  # a generator has close()
            for piece in pieces:
                if run.stop.is_set():
                    return False
                if piece.text or piece.tokens:
                    sender.put(piece)
                    made += piece.tokens
                if piece.finish_reason:
                    self._finish_reason = piece.finish_reason
                    return True
                if made >= run.max_tokens:
                    self._finish_reason = "length"
                    return True
        return not run.stop.is_set()

    def _refuse_unknown_options(self) -> None:
        given = {name for name in SAMPLING if getattr(self._request, name)}
        lacking = given - self._backend.abilities.options
        if lacking:
            name = sorted(lacking)[0]
            raise InvalidRequest(
                f"The backend {self._spec.backend} does not have {name}; leave it out or route "
                "the request to a model whose backend has it."
            )

    def _tokens_allowed(self) -> int | None:
        """Completion tokens that window, request and budgets allow; None when fenced off.

        What was held at submit was an upper bound; only when the model's own count is larger, or
        the window smaller, does this cost a round trip.
        """
        claim, prompt = self._claim, self._prompt_tokens
        window = self._backend.abilities.window
        if window and prompt >= window:
            raise ContextTooLong(
                prompt_tokens=prompt, window=window, backend=self._spec.backend, retriable=False
            )
        spent = claim.made
        wanted = self._request.max_tokens - spent
        if window:
            wanted = min(wanted, window - prompt)
        if wanted <= 0:
            return 0
        held: int | None = claim.held
        if prompt + spent + wanted > claim.held:
            held = persist(
                self._ledger,
                jobs.hold(
                    claim.job_id,
                    fence=claim.fence,
                    wanted=prompt + spent + wanted,
                    least=prompt + spent + 1,
                    levels=self._levels,
                ),
            )
        if held is None:
            return None
        return min(wanted, held - prompt - spent)

    def _text_so_far(self) -> str:
        return until_back(lambda: stream.text_of(stream.replay(self._ledger, self._claim.job_id)))

    def _give_back(self, reason: str) -> tuple[Outcome, str]:
        call = jobs.requeue(
            self._claim.job_id,
            instance=self._spec.name,
            fence=self._claim.fence,
            reason=reason,
            failed=False,
        )
        answer = persist(self._ledger, call)
        return (Outcome.REQUEUED if answer == "queued" else Outcome.NOOP), reason

    def _end_with(self, error: ApexError) -> tuple[Outcome, str]:
        self._finish_reason = "error"
        if isinstance(error, BudgetExceeded):
            log.info("job %s: %s", self._claim.job_id, error)
        return self._end(State.FAILED, error)

    def _end(self, state: State, error: ApexError | None = None) -> tuple[Outcome, str]:
        claim, sender = self._claim, self._sender
        queued_ms = claim.claimed_ms - claim.submitted_ms
        first_at = sender.first_at if sender else None
        result = Result(
            job_id=claim.job_id,
            state=state,
            text=self._text_before + (sender.text if sender else ""),
            usage=Usage(
                prompt_tokens=self._prompt_tokens if sender else 0,
                completion_tokens=claim.made + (sender.tokens if sender else 0),
            ),
            finish_reason=self._finish_reason,
            instance=self._spec.name,
            attempt=claim.failures + 1,
            timings=Timings(
                queued_ms=queued_ms,
                ttft_ms=None if first_at is None else queued_ms + self._since_claim_ms(first_at),
                total_ms=queued_ms + self._since_claim_ms(self._clock.monotonic()),
            ),
            error=to_record(error) if error else None,
        )
        finished = persist(
            self._ledger,
            jobs.finish(
                result,
                fence=claim.fence,
                levels=self._levels,
                retention_ms=int(self._runner.settings.retention_s * 1000),
            ),
        )
        if not finished:
            return Outcome.NOOP, "fenced"
        return Outcome(state), error.message if error else ""

    def _since_claim_ms(self, at: float) -> float:
        return round((at - self._claimed_at) * 1000, 3)
