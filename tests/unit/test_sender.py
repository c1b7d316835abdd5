"""The sender: chunks beside the generation, each once, in order, until the ledger says stop."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import ApexError, CorruptEntry, RedisUnavailable
from ledger.jobs import Claim
from ledger.messages import Event
from ledger.settings import InstanceSpec
from workers import persist
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


class Hands:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Bench:
    """A sender between a test's pieces and a test's ledger."""

    def __init__(self, ledger: Any) -> None:
        self.clock, self.stopped = Hands(), threading.Event()
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


@pytest.fixture
def ledger() -> Asked:
    return Asked()


@pytest.fixture
def bench(ledger: Asked) -> Bench:
    return Bench(ledger)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persist, "RETRY_S", 0.001)


def test_the_first_piece_is_in_the_stream_when_put_returns(bench: Bench, ledger: Asked) -> None:
    ledger.answer("go")

    bench.sender.put(Piece("Hello", 2))

    sent = ledger.next()
    assert sent[:4] == (7, 1, 2, 11)
    assert sent[5:] == (3, 2, "j")
    assert sent.event == Event(kind="chunk", attempt=7, text="Hello", tokens=2)
    assert bench.sender.close() == "go"
    assert (bench.sender.text, bench.sender.tokens) == ("Hello", 2)
    assert not bench.stopped.is_set()


def test_an_answer_of_one_piece_needs_no_thread(bench: Bench, ledger: Asked) -> None:
    bench.begin(ledger, "Hello")

    assert bench.has_ended
    assert bench.sender.close() == "go"


def test_a_later_piece_waits_for_nobody_and_goes_out_at_once(bench: Bench, ledger: Asked) -> None:
    bench.begin(ledger, "a")

    bench.put("b")

    assert ledger.next().event.text == "b"
    ledger.answer("go")
    assert bench.sender.close() == "go"


def test_pieces_that_come_while_a_chunk_is_in_flight_are_joined_into_the_next(
    bench: Bench, ledger: Asked
) -> None:
    bench.begin(ledger, "a")
    bench.put("b")
    ledger.next()
    bench.put("c", "d", "e")
    assert ledger.idle

    ledger.answer("go")

    joined = ledger.next()
    assert (joined.chunk, joined.tokens, joined.event.text) == (3, 3, "cde")
    ledger.answer("go")
    assert bench.sender.close() == "go"
    assert (bench.sender.text, bench.sender.tokens) == ("abcde", 5)


def test_closing_sends_what_is_left_and_waits_for_it(bench: Bench, ledger: Asked) -> None:
    bench.begin(ledger, "a")
    bench.put("b")
    ledger.next()
    bench.put("c")
    closed = bench.closing()

    ledger.answer("go")
    last = ledger.next()
    assert (last.chunk, last.event.text) == (3, "c")
    ledger.answer("go")

    assert closed() == "go"
    assert (bench.sender.text, bench.sender.delivered_all) == ("abc", True)
    assert ledger.idle
    assert bench.has_ended


def test_closing_without_a_piece_sends_nothing(bench: Bench, ledger: Asked) -> None:
    assert bench.sender.close() == "go"
    assert ledger.idle
    assert (bench.sender.text, bench.sender.tokens, bench.sender.first_at) == ("", 0, None)
    assert bench.sender.delivered_all
    assert bench.has_ended


def test_a_chunk_keeps_its_number_and_its_text_for_as_long_as_redis_is_away(
    bench: Bench, ledger: Asked
) -> None:
    bench.begin(ledger, "a")
    bench.put("b")
    second = ledger.next()
    bench.put("c")
    for _ in range(5):
        ledger.answer(AWAY)
        assert ledger.next() == second

    ledger.answer("go")

    assert ledger.next().event.text == "c"
    ledger.answer("go")
    assert bench.sender.close() == "go"
    assert (bench.sender.text, bench.sender.tokens) == ("abc", 3)


def test_the_first_piece_waits_for_a_redis_that_is_away(bench: Bench, ledger: Asked) -> None:
    ledger.answer(AWAY, AWAY, "go")

    bench.put("a")

    assert ledger.next() == ledger.next() == ledger.next()
    assert bench.sender.close() == "go"
    assert bench.sender.text == "a"


@pytest.mark.parametrize("word", ["yield", "cancel", "deadline"])
def test_a_word_that_came_with_an_accepted_chunk_stops_and_the_chunk_counts(
    bench: Bench, ledger: Asked, word: str
) -> None:
    bench.begin(ledger, "a")
    bench.put("b")
    ledger.next()
    bench.put("c")

    ledger.answer(word)

    assert bench.stopped.wait(WAIT_S)
    bench.put("d")
    assert bench.sender.close() == word
    assert ledger.idle
    assert (bench.sender.text, bench.sender.tokens) == ("ab", 2)
    assert not bench.sender.delivered_all


@pytest.mark.parametrize("word", ["yield", "cancel", "deadline", "fenced", "budget"])
def test_a_word_that_came_with_the_first_chunk_stops_before_put_returns(
    bench: Bench, ledger: Asked, word: str
) -> None:
    bench.begin(ledger, "a", answer=word)

    assert bench.stopped.is_set()
    bench.put("b")
    assert bench.sender.close() == word
    assert ledger.idle
    assert bench.sender.text == ("" if word in ("fenced", "budget") else "a")
    assert not bench.sender.delivered_all


@pytest.mark.parametrize("word", ["fenced", "budget"])
def test_a_chunk_that_was_refused_does_not_count(bench: Bench, ledger: Asked, word: str) -> None:
    bench.begin(ledger, "a")
    bench.put("b")
    ledger.next()

    ledger.answer(word)

    assert bench.stopped.wait(WAIT_S)
    bench.put("c")
    assert bench.sender.close() == word
    assert ledger.idle
    assert (bench.sender.text, bench.sender.tokens) == ("a", 1)


@pytest.mark.parametrize("word", ["yield", "cancel", "deadline"])
def test_a_word_that_came_with_the_last_chunk_left_nothing_behind(
    bench: Bench, ledger: Asked, word: str
) -> None:
    bench.begin(ledger, "a")
    bench.put("b", "c")
    closed = bench.closing()
    while not (text := ledger.next().event.text).endswith("c"):
        ledger.answer("go")

    ledger.answer(word)

    assert closed() == word
    assert text in ("c", "bc")
    assert (bench.sender.text, bench.sender.delivered_all) == ("abc", True)


def test_an_error_stops_the_generation_and_is_raised_by_close(bench: Bench, ledger: Asked) -> None:
    bench.begin(ledger, "a")
    bench.put("b")
    ledger.next()

    ledger.answer(CorruptEntry(job_id="j"))

    assert bench.stopped.wait(WAIT_S)
    bench.put("c", "d")  # a backend that has not looked yet
    with pytest.raises(ApexError):
        bench.sender.close()
    assert ledger.idle
    assert bench.sender.text == "a"
    assert bench.has_ended


def test_an_error_of_the_first_chunk_is_raised_by_close_too(bench: Bench, ledger: Asked) -> None:
    bench.begin(ledger, "a", answer=CorruptEntry(job_id="j"))

    assert bench.stopped.is_set()
    bench.put("b")
    with pytest.raises(ApexError):
        bench.sender.close()
    assert ledger.idle


def test_an_error_of_ours_is_no_endless_loop(bench: Bench, ledger: Asked) -> None:
    bench.begin(ledger, "a")
    bench.put("b")
    ledger.next()

    ledger.answer(KeyError("a slip"))

    assert bench.stopped.wait(WAIT_S)
    with pytest.raises(KeyError):
        bench.sender.close()


def test_a_text_that_no_event_can_carry_is_an_error_too(bench: Bench, ledger: Asked) -> None:
    bench.put("\ud800")

    assert bench.stopped.wait(WAIT_S)
    with pytest.raises(ValueError, match="surrogate"):
        bench.sender.close()
    assert ledger.idle


def test_a_reset_is_the_first_chunk_and_no_part_of_the_answer(bench: Bench, ledger: Asked) -> None:
    ledger.answer("go")
    bench.sender.reset()
    reset = ledger.next()
    assert (reset.chunk, reset.tokens, reset.event) == (1, 0, Event(kind="reset", attempt=7))
    assert bench.sender.first_at is None

    assert bench.begin(ledger, "a").chunk == 2

    assert bench.sender.close() == "go"
    assert (bench.sender.text, bench.sender.tokens) == ("a", 1)
    assert bench.sender.first_at == bench.clock.now


def test_a_reset_that_is_answered_with_a_stop_stops(bench: Bench, ledger: Asked) -> None:
    ledger.answer("cancel")

    bench.sender.reset()

    assert bench.stopped.is_set()
    assert bench.sender.close() == "cancel"
    assert (bench.sender.text, bench.sender.delivered_all) == ("", True)


def test_the_first_token_is_timed_when_its_chunk_is_accepted(bench: Bench, ledger: Asked) -> None:
    bench.clock.now = 103.5
    bench.begin(ledger, "a")
    bench.clock.now = 110.0
    bench.put("b")
    ledger.next()
    ledger.answer("go")

    bench.sender.close()

    assert bench.sender.first_at == 103.5


class Books:
    """A ledger that goes away, before or after it has done what it was asked."""

    def __init__(self, words: list[str], trouble: list[str]) -> None:
        self.text, self.tokens, self.seen, self.last = "", 0, 0, ""
        self._words, self._trouble = iter(words), iter(trouble)

    def run(self, call: Any) -> Any:
        sent = Sent(*call.args)
        trouble = next(self._trouble, "")
        if trouble == "before":
            raise AWAY
        if sent.chunk > self.seen:
            assert sent.chunk == self.seen + 1
            self.last = next(self._words, "go")
            if self.last not in ("fenced", "budget"):
                self.seen = sent.chunk
                self.text += sent.event.text
                self.tokens += sent.tokens
        if trouble == "after":
            raise AWAY
        return call.read(self.last)


WORDS = st.sampled_from(["go"] * 6 + ["yield", "leave", "cancel", "deadline", "budget", "fenced"])


@settings(deadline=None, max_examples=150)
@given(
    pieces=st.lists(st.builds(Piece, st.text("abc ", max_size=3), st.integers(0, 3)), max_size=25),
    words=st.lists(WORDS, max_size=12),
    trouble=st.lists(st.sampled_from(["", "", "before", "after"]), max_size=25),
)
def test_what_the_sender_says_was_accepted_is_what_the_ledger_has(
    pieces: list[Piece], words: list[str], trouble: list[str]
) -> None:
    books = Books(words, trouble)
    bench = Bench(books)
    for piece in pieces:
        bench.sender.put(piece)

    control = bench.closing()()

    sender = bench.sender
    assert (sender.text, sender.tokens) == (books.text, books.tokens)
    whole = "".join(piece.text for piece in pieces)
    assert whole.startswith(sender.text)
    assert bench.stopped.is_set() == (control != "go")
    if control == "go" or (sender.delivered_all and control not in ("fenced", "budget")):
        assert sender.text == whole
        assert sender.tokens == sum(piece.tokens for piece in pieces)
