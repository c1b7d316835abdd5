"""One attempt at one job: count, generate, finish."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from budgets import deadlines, episode_level, levels_of
from budgets.low import LOW_AT
from ledger import jobs, status, stream
from ledger.clock import Clock
from ledger.episodes import EpisodeTerms
from ledger.errors import (
    ApexError,
    BackendError,
    ContextTooLong,
    InvalidRequest,
    JobCancelled,
    JobDead,
    JobExpired,
    JobFailed,
    RateLimited,
    to_record,
)
from ledger.jobs import Claim, Rest
from ledger.messages import Request, Result, State, Timings, Usage
from ledger.priority import Priority
from ledger.redis_client import Ledger
from ledger.settings import InstanceSpec, Settings
from ledger.stream import Answer
from workers.answers import keep_answer
from workers.backends import OPTIONS, Backend, Piece, Run
from workers.giving_up import give_up, retention_ms
from workers.history import turn_of, with_history
from workers.persist import persist, until_back
from workers.sender import Sender
from workers.stopped import control_of, why_stopped

log = logging.getLogger(__name__)

LONGEST_REASON = 300
PAUSE_S = 1.0  # before the next attempt, where a retriable error says nothing else
REST_S = 5.0  # of an instance, where its provider only says that it takes no more requests
LONGEST_PAUSE_S = 3600.0

ENDS: dict[type[ApexError], State] = {
    JobCancelled: State.CANCELLED,
    JobDead: State.DEAD,
    JobExpired: State.EXPIRED,
}


class Outcome(StrEnum):
    """How a wake-up ended for this worker."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXPIRED = "expired"
    DEAD = "dead"
    CANCELLED = "cancelled"
    REQUEUED = "requeued"
    NOOP = "noop"


@dataclass(frozen=True, slots=True)
class Place:
    """Where attempts are made: one instance, in one process."""

    ledger: Ledger
    backend: Backend
    spec: InstanceSpec
    settings: Settings
    clock: Clock


class Attempt:
    """Brings a claimed job to its end, or gives it back."""

    def __init__(self, place: Place, claim: Claim, request: Request) -> None:
        self._place, self._claim, self._request = place, claim, request
        self._levels = levels_of(request, place.settings)
        self._claimed_at = place.clock.monotonic()
        self._sender: Sender | None = None
        self._held = claim.held
        self._prompt_tokens = claim.prompt_tokens
        self._before = Answer()  # what earlier attempts sent
        self._yields = 0  # how often the job has made way
        self._stop = threading.Event()  # the answer is not wanted any more
        self._heeded: jobs.Control = "go"  # what was heard without a chunk
        self._cached_tokens = 0
        self._finish_reason: Literal["stop", "length", "tool_calls", "error", "cancelled"] = "stop"

    def run(self) -> tuple[Outcome, str]:
        """Returns the outcome, and for a job that failed the sentence that says why."""
        try:
            control = self._generate()
        except RateLimited as error:
            return self._rest(error)
        except BackendError as error:
            if error.facts.get("retriable"):
                return self._try_again(error)
            return self._end_with(error)
        except ApexError as error:
            return self._end_with(error)
        except Exception as error:  # noqa: BLE001  a backend may raise anything
            return self._end_with(self._unexpected(error))
        match control:
            case "go":
                return self._end(State.SUCCEEDED)
            case "yield" | "leave":
                return self._give_back(control)
            case "cancel" | "deadline":
                return self._end_stopped()
            case "budget":
                self._finish_reason = "length"
                return self._end(State.SUCCEEDED)
        return Outcome.NOOP, "fenced"

    def heed(self) -> None:
        """Looks, while no chunk tells it, whether the answer is still wanted. For another thread.

        Raises:
            RedisUnavailable
        """
        entry = self._place.ledger.run(status.read_job(self._claim.job_id))
        control = control_of(entry.facts if entry else None, fence=self._claim.fence)
        if control != "go":
            self._heeded = control
            self._stop.set()

    def _generate(self) -> jobs.Control:
        """Streams the answer; returns the ledger's last word, ``go`` when it is complete."""
        claim, backend = self._claim, self._place.backend
        if claim.fence > 1:
            self._read_what_was_made()
        self._refuse_what_is_too_late()
        self._refuse_what_the_backend_lacks(self._request)
        request = self._request_in_full()
        if request is None:
            return "fenced"
        if self._place.settings.log_prompts:
            log.info("job %s is asked: %s", claim.job_id, " | ".join(request.texts))
        prompt_tokens = backend.count_tokens(request)
        text = self._before.text if self._before.is_text_alone else ""
        resumes = bool(text) and backend.abilities.continues
        allowed = self._tokens_allowed(prompt_tokens, self._before.tokens if resumes else 0)
        if allowed is None:
            return "fenced"
        if allowed == 0:
            self._finish_reason = "length"
            return "go"
        run = Run(
            request,
            allowed,
            continue_from=text if resumes else "",
            attempt=claim.failures + 1,
            job_id=claim.job_id,
            stop=self._stop,
        )
        self._prompt_tokens = prompt_tokens
        something = bool(self._before.text) or not self._before.is_text_alone
        return self._stream(run, begins_anew=something and not resumes)

    def _stream(self, run: Run, *, begins_anew: bool) -> jobs.Control:
        place = self._place
        sender = self._sender = Sender(
            place.ledger,
            self._claim,
            place.spec,
            prompt_tokens=self._prompt_tokens,
            yields_to_bands_below=self._yields_to_bands_below(),
            yields_until=run.max_tokens - place.settings.yield_not_last_tokens,
            on_stop=run.stop.set,
            clock=place.clock,
            episode=self._episode_terms(),
        )
        broke_off: Exception | None = None
        complete = False
        try:
            if begins_anew:
                sender.reset()
                self._before = Answer()
            complete = self._feed(sender, run)
        except Exception as error:  # noqa: BLE001  it may be why, or how, it stopped
            broke_off = error
        finally:  # also where the process is told to end: what was made is not lost
            control = sender.close()
        if control == "go" and not complete:
            control = self._heeded
        if broke_off is not None and control == "go":
            raise broke_off
        if control in ("yield", "leave", "deadline") and complete and sender.delivered_all:
            return "go"  # the word came with the last chunk
        return control

    def _yields_to_bands_below(self) -> int:
        """The first band that this attempt does not make way for."""
        settings = self._place.settings
        if self._yields >= settings.max_yields or not settings.preemption:
            return 0
        if not self._place.backend.abilities.continues:
            return 0
        counts_as = Priority(3 * (self._request.priority.band - self._claim.lifted))
        return counts_as.yields_to_bands_below

    def _episode_terms(self) -> EpisodeTerms | None:
        request, settings = self._request, self._place.settings
        if request.episode_id is None:
            return None
        level = episode_level(request.tenant, request.episode_id, settings)
        return EpisodeTerms(level, settings.progress_extend_s, LOW_AT)

    def _feed(self, sender: Sender, run: Run) -> bool:
        """Hands the backend's pieces to the sender; True if the answer came to its own end."""
        pieces: Iterator[Piece] = self._place.backend.stream(run)
        made, most = 0, run.max_tokens
        with closing(pieces):  # type: ignore[type-var]  # a generator has close()
            for piece in pieces:
                if run.stop.is_set():
                    return False
                counted = piece.prompt_tokens not in (None, self._prompt_tokens)
                if counted:
                    most = min(most, self._recount(piece.prompt_tokens or 0, made))
                    sender.prompt_tokens = self._prompt_tokens
                if not _says_something(piece) and piece.tokens > most - made:
                    piece = replace(piece, tokens=most - made)  # noqa: PLW2901
                made += piece.tokens
                if made > most:
                    self._finish_reason = "length"
                    return True
                self._cached_tokens += piece.cached_tokens
                if _says_something(piece) or piece.tokens or counted:
                    sender.put(piece)
                if piece.finish_reason or made == most:
                    self._finish_reason = piece.finish_reason or "length"
                    return True
        return not run.stop.is_set()

    def _recount(self, prompt: int, made: int) -> int:
        """Takes over a server's own count of the prompt, as far as what is held reaches.

        Returns how many tokens this attempt may make then, of which it has ``made`` some.
        """
        room = self._held - self._claim.made
        self._prompt_tokens = min(prompt, room - made)
        return room - self._prompt_tokens

    def _request_in_full(self) -> Request | None:
        """The request as the model reads it; None when fenced off."""
        if not self._request.history:
            return self._request
        request = with_history(self._place.ledger, self._place.backend, self._claim, self._request)
        if request is not None:
            self._refuse_what_the_backend_lacks(request)
        return request

    def _read_what_was_made(self) -> None:
        """What earlier attempts sent: to go on from, or to be kept if this one is refused."""
        events = until_back(lambda: list(stream.replay(self._place.ledger, self._claim.job_id)))
        self._before = stream.answer_of(events)
        self._yields = sum(event.reason == "yield" for event in events)

    def _refuse_what_is_too_late(self) -> None:
        claim = self._claim
        late = deadlines.waited(
            self._request.queue_timeout_s,
            attempts=claim.fence,
            queued_ms=claim.claimed_ms - claim.submitted_ms,
        )
        if late is not None:
            raise late
        if 0 < claim.episode_deadline_ms < claim.claimed_ms:
            raise self._why_stopped()

    def _refuse_what_the_backend_lacks(self, request: Request) -> None:
        abilities, backend = self._place.backend.abilities, self._place.spec.backend
        given = [name for name in OPTIONS if getattr(request, name) not in (None, ())]
        lacking = sorted(set(given) - abilities.options)
        if request.images and not abilities.images:
            lacking.append("images")
        if (request.messages is not None or request.history) and not abilities.chat:
            lacking.append("messages")
        if lacking:
            raise InvalidRequest(
                f"The backend {backend} does not have {lacking[0]}; leave it out or "
                "route the request to a model whose backend has it."
            )

    def _tokens_allowed(self, prompt: int, so_far: int) -> int | None:
        """Completion tokens that request, window and budgets still allow; None when fenced off.

        ``so_far``: tokens of the text that is gone on from. What was held at submit was an upper
        bound; only when that does not reach does this cost a round trip.
        """
        claim, window = self._claim, self._place.backend.abilities.window
        if window and prompt >= window:
            raise ContextTooLong(
                prompt_tokens=prompt,
                window=window,
                backend=self._place.spec.backend,
                retriable=False,
            )
        wanted = self._request.max_tokens - so_far
        if window:
            wanted = min(wanted, window - prompt - so_far)
        if wanted <= 0:
            return 0
        spent = prompt + claim.made
        held: int | None = self._held
        if spent + wanted > claim.held:
            call = jobs.hold(
                claim.job_id,
                fence=claim.fence,
                wanted=spent + wanted,
                least=spent + 1,
                levels=self._levels,
            )
            held = persist(self._place.ledger, call)
        if held is None:
            return None
        self._held = held
        return min(wanted, held - spent)

    def _give_back(self, reason: str) -> tuple[Outcome, str]:
        call = jobs.requeue(
            self._claim.job_id,
            instance=self._place.spec.name,
            fence=self._claim.fence,
            reason=reason,
            failed=False,
        )
        match persist(self._place.ledger, call):
            case "queued":
                return Outcome.REQUEUED, reason
            case "stopped":
                return self._end_stopped()
        return Outcome.NOOP, "fenced"

    def _try_again(self, error: BackendError) -> tuple[Outcome, str]:
        """Leaves the job to its next attempt, after a pause; or gives it up after the last one."""
        place, claim = self._place, self._claim
        reason = _reason(error)
        pause_s = error.facts.get("retry_after_s") or PAUSE_S
        call = jobs.requeue(
            claim.job_id,
            instance=place.spec.name,
            fence=claim.fence,
            reason=reason,
            failed=True,
            wait_ms=int(min(pause_s, LONGEST_PAUSE_S) * 1000),
        )
        match persist(place.ledger, call):
            case "queued":
                log.warning("job %s: %s; the next attempt follows", claim.job_id, reason)
                return Outcome.REQUEUED, reason
            case "stopped":
                return self._end_stopped()
            case "exhausted":
                return self._end_with(
                    give_up(place.ledger, place.settings, claim.job_id, place.spec.name, reason)
                )
        return Outcome.NOOP, "fenced"

    def _rest(self, error: RateLimited) -> tuple[Outcome, str]:
        """Leaves the job first of its band, and has its instance start none for a while."""
        place, claim = self._place, self._claim
        said_s = error.facts.get("retry_after_s") or 0
        rest_s = min(said_s if said_s > 0 else REST_S, LONGEST_PAUSE_S)
        reason = _reason(error)
        call = jobs.requeue(
            claim.job_id,
            instance=place.spec.name,
            fence=claim.fence,
            reason=reason,
            failed=False,
            rest=Rest(int(rest_s * 1000), patience_ms=int(place.settings.retention_s * 1000)),
        )
        match persist(place.ledger, call):
            case "queued":
                log.warning("%s rests for %g s: %s", place.spec.name, rest_s, reason)
                return Outcome.REQUEUED, reason
            case "stopped":
                return self._end_stopped()
            case "exhausted":
                return self._end_with(error)
        return Outcome.NOOP, "fenced"

    def _unexpected(self, error: Exception) -> BackendError:
        """What a library raised, as one sentence; the log gets no words that may quote a prompt."""
        backend = self._place.spec.backend
        frames = "".join(traceback.format_tb(error.__traceback__))
        log.error(
            "job %s: %s in the backend %s\n%s",
            self._claim.job_id,
            type(error).__name__,
            backend,
            frames,
        )
        if isinstance(error, MemoryError):
            return BackendError(
                f"The process of {self._place.spec.name} has no memory left for this job "
                "(MemoryError); raise APEX_MEMORY_LIMIT_MB, or shorten the prompt.",
                backend=backend,
                retriable=False,
            )
        said = " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST_REASON]
        return BackendError(
            f"The backend {backend} failed ({said}).", backend=backend, retriable=False
        )

    def _why_stopped(self) -> JobFailed:
        """Reads why the ledger wants no more of this job."""
        place, job_id = self._place, self._claim.job_id
        entry = persist(place.ledger, status.read_job(job_id))
        why = entry and why_stopped(place.ledger, entry.facts, place.settings)
        return why or JobCancelled(job_id=job_id)  # its entry is gone: nobody can want it

    def _end_stopped(self) -> tuple[Outcome, str]:
        return self._end_with(self._why_stopped())

    def _end_with(self, error: ApexError) -> tuple[Outcome, str]:
        state = ENDS.get(type(error), State.FAILED)
        self._finish_reason = "cancelled" if state is State.CANCELLED else "error"
        return self._end(state, error)

    def _end(self, state: State, error: ApexError | None = None) -> tuple[Outcome, str]:
        place, claim = self._place, self._claim
        answer = self._before.then(self._sender.made) if self._sender else self._before
        result = Result(
            job_id=claim.job_id,
            state=state,
            **answer.fields,
            usage=Usage(
                prompt_tokens=self._prompt_tokens,
                completion_tokens=claim.made + (self._sender.tokens if self._sender else 0),
                cached_tokens=self._cached_tokens,
            ),
            finish_reason=self._finish_reason,
            instance=place.spec.name,
            attempt=claim.failures + 1,
            timings=self._timings(),
            error=to_record(error) if error else None,
        )
        if self._request.cache:
            keep_answer(
                place.ledger, place.spec, place.settings, self._request, result, answer.tokens
            )
        call = jobs.finish(
            result,
            fence=claim.fence,
            levels=self._levels,
            model=place.spec.served_model,
            retention_ms=retention_ms(state, place.settings),
            usage_ms=int(place.settings.usage_retention_s * 1000),
            turn=(
                turn_of(claim.job_id, self._request, answer, place.settings)
                if self._request.history and state is State.SUCCEEDED
                else None
            ),
        )
        if not persist(place.ledger, call):
            return Outcome.NOOP, "fenced"
        return Outcome(state), error.message if error else ""

    def _timings(self) -> Timings:
        queued_ms = self._claim.claimed_ms - self._claim.submitted_ms
        first_at = self._sender.first_at if self._sender else None
        timings = Timings(
            queued_ms=queued_ms,
            total_ms=queued_ms + self._since_claim_ms(self._place.clock.monotonic()),
        )
        if first_at is None:
            return timings
        return timings.model_copy(update={"ttft_ms": queued_ms + self._since_claim_ms(first_at)})

    def _since_claim_ms(self, at: float) -> float:
        return round((at - self._claimed_at) * 1000, 3)


def _says_something(piece: Piece) -> bool:
    return bool(piece.text or piece.reasoning or piece.tool_calls)


def _reason(error: ApexError) -> str:
    """Why an attempt ended, for the job's events."""
    return " ".join(error.message.split()).rstrip(".")[:LONGEST_REASON]
