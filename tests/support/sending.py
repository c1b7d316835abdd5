"""A sender between the pieces and the ledger of a test."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from ledger.errors import RedisUnavailable
from ledger.jobs import Claim
from ledger.messages import Event
from ledger.settings import InstanceSpec
from workers.backends import Piece
from workers.sender import Sender

CLAIM = Claim(
    job_id="j",
    fence=7,
    request="",
    submitted_ms=0,
    claimed_ms=0,
    deadline_ms=0,
    held=0,
    made=0,
    prompt_tokens=0,
    failures=0,
)
SPEC = InstanceSpec(name="inst0", backend="mock", slots=3)
AWAY = RedisUnavailable(url="redis://nowhere", reason="away")
WAIT_S = 10


class Sent(NamedTuple):
    """One emit, as the ledger gets it."""

    fence: int
    chunk: int
    tokens: int
    prompt_tokens: int
    body: str
    slots: int
    yields: int
    job_id: str

    @property
    def event(self) -> Event:
        return Event.model_validate_json(self.body)


class Asked:
    """A ledger whose answers the test gives: each call waits for one."""

    def __init__(self) -> None:
        self._sent: queue.Queue[Sent] = queue.Queue()
        self._answers: queue.Queue[Any] = queue.Queue()

    def run(self, call: Any) -> Any:
        assert call.script == "emit"
        self._sent.put(Sent(*call.args))
        answer = self._answers.get(timeout=WAIT_S)
        if isinstance(answer, Exception):
            raise answer
        return call.read(answer)

    def next(self) -> Sent:
        """The next call that has come; it waits for its answer."""
        return self._sent.get(timeout=WAIT_S)

    def answer(self, *answers: Any) -> None:
        for answer in answers:
            self._answers.put(answer)

    @property
    def idle(self) -> bool:
        return self._sent.empty()


class Clock:
    """It is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Bench:
    """A sender between a test's pieces and a test's ledger."""

    def __init__(self, ledger: Any) -> None:
        self.clock, self.stopped = Clock(), threading.Event()
        self._others = set(threading.enumerate())
        self.sender = Sender(
            ledger,
            CLAIM,
            SPEC,
            prompt_tokens=11,
            yields_to_bands_below=2,
            yields_until=4,
            on_stop=self.stopped.set,
            clock=self.clock,
        )

    @property
    def has_ended(self) -> bool:
        """Whether the sender left no thread behind."""
        names = [one.name for one in threading.enumerate() if one not in self._others]
        return "sender" not in names

    def put(self, *texts: str) -> None:
        for text in texts:
            self.sender.put(Piece(text))

    def begin(self, ledger: Asked, text: str, *, answer: Any = "go") -> Sent:
        """Puts the first piece, which is sent and answered when put returns."""
        ledger.answer(answer)
        self.put(text)
        return ledger.next()

    def closing(self) -> Callable[[], Any]:
        """Begins to close, and returns what waits for the answer."""
        came: queue.Queue[Any] = queue.Queue()

        def close() -> None:
            try:
                came.put(self.sender.close())
            except BaseException as error:  # noqa: BLE001  the test looks at it
                came.put(error)

        threading.Thread(target=close, daemon=True).start()
        return lambda: came.get(timeout=WAIT_S)
