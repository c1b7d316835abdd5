"""One attempt at one job: count, generate, finish."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import closing, nullcontext
from dataclasses import replace

from budgets import deadlines, episode_level
from budgets.low import LOW_AT
from ledger import jobs, status, stream
from ledger.answer import Answer, answer_of
from ledger.episodes import EpisodeTerms
from ledger.jobs import Claim
from ledger.messages import Request
from ledger.priority import Priority
from workers.allowance import Allowance
from workers.backends import Piece, Run
from workers.ending import Ending
from workers.history import with_history
from workers.lacking import refuse_what_it_lacks
from workers.outcome import FENCED, Ended
from workers.persist import until_back
from workers.place import Place
from workers.sender import Sender
from workers.so_far import SoFar
from workers.stopped import control_of, why_it_must_stop

log = logging.getLogger(__name__)


class Attempt:
    """Brings a claimed job to its end, or gives it back."""

    def __init__(self, place: Place, claim: Claim, request: Request) -> None:
        self._place, self._claim, self._request = place, claim, request
        self._allowance = Allowance(place, claim, request)
        self._so_far = SoFar(place, claim, place.clock.monotonic())
        self._yields = 0  # how often the job has made way
        self._stop = threading.Event()  # the answer is not wanted any more
        self._heeded: jobs.Control = "go"  # what was heard without a chunk

    def run(self) -> Ended:
        """Returns the outcome, and for a job that failed the sentence that says why."""
        ending = self._ending
        try:
            control = self._generate()
        except Exception as error:  # noqa: BLE001  a backend may raise anything
            return ending.after(error)
        match control:
            case "go":
                return ending.succeed()
            case "yield" | "leave":
                return ending.give_back(control)
            case "cancel" | "deadline":
                return ending.stop()
            case "budget":
                self._so_far.finish_reason = "length"
                return ending.succeed()
        return FENCED

    def stop(self) -> Ended:
        """Ends the job, of which the ledger wants no more, without having made anything."""
        return self._ending.stop()

    @property
    def _ending(self) -> Ending:
        return Ending(self._place, self._claim, self._request, self._allowance, self._so_far)

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
        refuse_what_it_lacks(self._place, self._request)
        request = self._request_in_full()
        if request is None:
            return "fenced"
        if self._place.settings.log_prompts:
            log.info("job %s is asked: %s", claim.job_id, " | ".join(request.texts))
        before = self._so_far.before
        continues = backend.abilities.continues_with(request)
        resumes = bool(before.text) and before.is_text_alone and continues
        prompt_tokens = backend.count_tokens(request)
        allowed = self._allowance.tokens_for(prompt_tokens, before.tokens if resumes else 0)
        if allowed is None:
            return "fenced"
        if allowed == 0:
            self._so_far.finish_reason = "length"
            return "go"
        run = Run(
            request,
            allowed,
            continue_from=before.text if resumes else "",
            attempt=claim.failures + 1,
            job_id=claim.job_id,
            stop=self._stop,
        )
        self._allowance.prompt_tokens = prompt_tokens
        made_something = bool(before.text) or not before.is_text_alone
        return self._stream(run, begins_anew=made_something and not resumes)

    def _stream(self, run: Run, *, begins_anew: bool) -> jobs.Control:
        place = self._place
        sender = self._so_far.sender = Sender(
            place.ledger,
            self._claim,
            place.spec,
            prompt_tokens=self._allowance.prompt_tokens,
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
                self._so_far.before = Answer()
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
        if not self._place.backend.abilities.continues_with(self._request):
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
        allowance, so_far = self._allowance, self._so_far
        made, most = 0, run.max_tokens
        with closing(pieces) if hasattr(pieces, "close") else nullcontext():  # type: ignore[type-var]
            for piece in pieces:
                if run.stop.is_set():
                    return False
                counted = piece.prompt_tokens not in (None, allowance.prompt_tokens)
                if counted:
                    most = min(most, allowance.recount(piece.prompt_tokens or 0, made))
                    sender.prompt_tokens = allowance.prompt_tokens
                if not _says_something(piece) and piece.tokens > most - made:
                    piece = replace(piece, tokens=most - made)  # noqa: PLW2901
                made += piece.tokens
                if made > most:
                    so_far.finish_reason = "length"
                    return True
                so_far.cached_tokens += piece.cached_tokens
                if _says_something(piece) or piece.tokens or counted:
                    sender.put(piece)
                if piece.finish_reason or made == most:
                    so_far.finish_reason = piece.finish_reason or "length"
                    return True
        return not run.stop.is_set()

    def _request_in_full(self) -> Request | None:
        """The request as the model reads it; None when fenced off."""
        if not self._request.history:
            return self._request
        request = with_history(self._place.ledger, self._place.backend, self._claim, self._request)
        if request is not None:
            refuse_what_it_lacks(self._place, request)
        return request

    def _read_what_was_made(self) -> None:
        """What earlier attempts sent: to go on from, or to be kept if this one is refused."""
        events = until_back(lambda: list(stream.replay(self._place.ledger, self._claim.job_id)))
        self._so_far.before = answer_of(events)
        self._yields = sum(event.reason == "yield" for event in events)

    def _refuse_what_is_too_late(self) -> None:
        claim, place = self._claim, self._place
        late = deadlines.waited(
            self._request.queue_timeout_s,
            attempts=claim.fence,
            queued_ms=claim.claimed_ms - claim.submitted_ms,
        )
        if late is not None:
            raise late
        if claim.episode_over:
            raise why_it_must_stop(place.ledger, claim.job_id, place.settings)


def _says_something(piece: Piece) -> bool:
    return bool(piece.text or piece.reasoning or piece.tool_calls)
