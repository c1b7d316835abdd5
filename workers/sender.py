"""Sends chunks to the ledger beside the generation, so that neither waits for the other.

The first piece is sent by the caller: waking a thread costs more than the round trip, and a reader
waits for it. Later ones go out at once when no chunk is in flight; what is made meanwhile is joined
into the next.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from ledger import jobs
from ledger.answer import Answer, Parts
from ledger.clock import Clock
from ledger.episodes import EpisodeTerms
from ledger.jobs import Claim, Control
from ledger.messages import Event
from ledger.redis_client import Ledger
from ledger.settings import InstanceSpec
from workers.backends import Piece
from workers.persist import persist


class Sender:
    """Carries one attempt's pieces to its stream, under its fence.

    ``control`` is the ledger's latest word; anything but ``go`` means that the answer is not wanted
    any more, and ``on_stop`` was called. ``made``, once it is closed, is what the ledger has
    accepted. ``prompt_tokens`` goes out with each chunk and may be put right meanwhile.

    After ``yields_until`` tokens the attempt makes way for nothing any more; nor does it once it
    has reasoning or tool calls, from which no other attempt could go on.
    """

    def __init__(
        self,
        ledger: Ledger,
        claim: Claim,
        spec: InstanceSpec,
        *,
        prompt_tokens: int,
        yields_to_bands_below: int,
        yields_until: int,
        on_stop: Callable[[], None],
        clock: Clock,
        episode: EpisodeTerms | None = None,
    ) -> None:
        self.control: Control = "go"
        self.made = Answer()
        self.prompt_tokens = prompt_tokens
        self.first_at: float | None = None
        self._ledger, self._claim, self._spec, self._clock = ledger, claim, spec, clock
        self._yields, self._yields_until = yields_to_bands_below, yields_until
        self._episode = episode
        self._on_stop = on_stop
        self._accepted = Parts()
        self._given = self._sent = 0  # pieces
        self._pieces: SimpleQueue[Piece | None] = SimpleQueue()  # None: the answer is over
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._chunk = 0

    def reset(self) -> None:
        """Tells readers that what an earlier attempt sent is void."""
        event = Event(kind="reset", attempt=self._claim.fence)
        self._note(self._send(event, 0), event)
        self.first_at = None

    def put(self, piece: Piece) -> None:
        """Takes a piece. The first one is in the stream when this returns; later ones soon are."""
        self._given += 1
        if self._given == 1:
            if self._wanted:
                self._send_pieces([piece])
            return
        self._pieces.put(piece)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="sender", daemon=True)
            self._thread.start()

    @property
    def tokens(self) -> int:
        """Tokens that the ledger has accepted."""
        return self._accepted.tokens

    @property
    def text(self) -> str:
        """The text of what was made."""
        return self.made.text

    @property
    def delivered_all(self) -> bool:
        """True if no piece was left behind when the answer was stopped; known after close()."""
        return self._sent == self._given

    def close(self) -> Control:
        """Sends what is left, waits for it, and returns the ledger's last word."""
        if self._thread is not None:
            self._pieces.put(None)
            self._thread.join()
        self.made = self._accepted.answer()
        if self._error is not None:
            raise self._error
        return self.control

    @property
    def _wanted(self) -> bool:
        return self.control == "go" and self._error is None

    def _work(self) -> None:
        over = False
        while self._wanted and not over:
            pieces, over = self._take()
            if pieces:
                self._send_pieces(pieces)

    def _take(self) -> tuple[list[Piece], bool]:
        """Waits for a piece; returns it with all that has come meanwhile, and if that is all."""
        pieces: list[Piece] = []
        piece = self._pieces.get()
        while piece is not None:
            pieces.append(piece)
            try:
                piece = self._pieces.get_nowait()
            except Empty:
                return pieces, False
        return pieces, True

    def _send_pieces(self, pieces: list[Piece]) -> None:
        """Sends pieces as one chunk."""
        self._sent += len(pieces)
        try:
            text = "".join(piece.text for piece in pieces)
            tokens = sum(piece.tokens for piece in pieces)
            event = Event(
                kind="chunk",
                attempt=self._claim.fence,
                text=text,
                tokens=tokens,
                logprobs=tuple(one for piece in pieces for one in piece.logprobs),
                reasoning="".join(piece.reasoning for piece in pieces),
                tool_calls=tuple(one for piece in pieces for one in piece.tool_calls),
            )
            if event.reasoning or event.tool_calls:
                self._yields = 0
            self._note(self._send(event, tokens), event)
        except BaseException as error:  # noqa: BLE001  it is raised in close()
            self._error = error
            self._on_stop()

    def _note(self, control: Control, event: Event) -> None:
        self.control = control
        if control not in ("fenced", "budget"):
            self._accepted.add(event)
            self.first_at = self.first_at or self._clock.monotonic()
        if control != "go":
            self._on_stop()

    def _send(self, event: Event, tokens: int) -> Control:
        """Sends one chunk until Redis has answered; the same number again is not doubled."""
        self._chunk += 1
        sent = self.tokens + tokens
        call = jobs.emit(
            self._claim.job_id,
            instance=self._spec.name,
            fence=self._claim.fence,
            chunk=self._chunk,
            tokens=tokens,
            prompt_tokens=self.prompt_tokens,
            event=event,
            slots=self._spec.slots,
            yields_to_bands_below=self._yields if sent < self._yields_until else 0,
            episode=self._episode,
        )
        return persist(self._ledger, call)
