"""A reader's place in a stream: what is next, what was seen or missed, how long it waits."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import stream
from ledger.answer import text_of
from ledger.errors import CorruptEntry, ResultTimeout
from ledger.messages import Event, State
from ledger.stream import SILENCE_S, Cursor, Patience, is_end

TEXTS = st.text(st.characters(codec="utf-8"), max_size=60)


def chunk(text: str, tokens: int = 1) -> Event:
    return Event(kind="chunk", attempt=1, text=text, tokens=tokens)


def announced(seq: int, event: Event) -> str:
    """As the ledger's scripts publish it."""
    return f"{seq} {event.body()}"


def entry(seq: int, event: Event) -> tuple[str, dict[str, str]]:
    """As XRANGE answers it."""
    return f"{seq}-0", {"e": event.body()}


END = Event(kind="end", attempt=1, state=State.SUCCEEDED)


def test_the_next_event_moves_the_cursor_on() -> None:
    cursor = Cursor("j", 4)

    event = cursor.next_of(announced(5, chunk("five")))

    assert event is not None
    assert (event.seq, event.text, cursor.seq) == (5, "five", 5)


@pytest.mark.parametrize("seq", [1, 3, 4, 6, 10])
def test_an_event_that_is_not_the_next_one_leaves_the_cursor_where_it_is(seq: int) -> None:
    cursor = Cursor("j", 4)

    assert cursor.next_of(announced(seq, chunk("x"))) is None
    assert cursor.seq == 4


@pytest.mark.parametrize(("seq", "missed"), [(1, False), (4, False), (5, False), (6, True)])
def test_only_an_event_beyond_the_next_one_shows_a_gap(seq: int, missed: bool) -> None:
    assert Cursor("j", 4).missed(announced(seq, chunk("x"))) is missed


def test_a_page_is_taken_in_order_and_moves_the_cursor_to_its_last_event() -> None:
    cursor = Cursor("j", 2)

    events = cursor.page([entry(3, chunk("a")), entry(4, chunk("b")), entry(5, END)])

    assert [(event.seq, event.kind, event.text) for event in events] == [
        (3, "chunk", "a"),
        (4, "chunk", "b"),
        (5, "end", ""),
    ]
    assert cursor.seq == 5


def test_an_empty_page_changes_nothing() -> None:
    cursor = Cursor("j", 7)

    assert cursor.page([]) == []
    assert cursor.seq == 7


@pytest.mark.parametrize(
    "body", ["", "junk", "{}", "[]", '{"kind":"chunk","colour":"red"}', '{"kind":"fall"}']
)
def test_an_event_that_cannot_be_read_names_its_job_and_leaves_the_cursor(body: str) -> None:
    cursor = Cursor("the-job", 1)

    with pytest.raises(CorruptEntry, match="the-job") as said:
        cursor.next_of(f"2 {body}")

    assert said.value.job_id == "the-job"
    assert cursor.seq == 1


@given(TEXTS, st.integers(1, 10**15))
def test_an_event_arrives_as_it_was_sent(text: str, seq: int) -> None:
    sent = Event(kind="chunk", attempt=3, text=text, tokens=2)

    for cursor, arrive in (
        (Cursor("j", seq - 1), lambda cursor: cursor.next_of(announced(seq, sent))),
        (Cursor("j", 0), lambda cursor: cursor.page([entry(seq, sent)])[0]),
    ):
        assert arrive(cursor) == sent.model_copy(update={"seq": seq})
        assert cursor.seq == seq


@given(
    texts=st.lists(TEXTS, min_size=1, max_size=12),
    after=st.integers(0, 12),
    heard=st.data(),
)
def test_a_reader_that_hears_anything_of_it_sees_each_event_once_and_in_order(
    texts: list[str], after: int, heard: Any
) -> None:
    # Given a stream and a reader that has seen a part of it
    events = [*(chunk(text) for text in texts), END]
    log = list(enumerate(events, start=1))
    cursor = Cursor("j", min(after, len(events) - 1))
    start = cursor.seq

    # When announcements are lost, repeated and come late, and the reader replays where it must
    seen: list[Event] = []
    numbers = heard.draw(st.lists(st.sampled_from(range(len(log))), max_size=20))
    for number in [*numbers, len(log) - 1]:
        seq, event = log[number]
        said = announced(seq, event)
        following = cursor.next_of(said)
        if following is not None:
            seen.append(following)
        elif cursor.missed(said):
            seen += cursor.page([entry(*one) for one in log[cursor.seq :]])

    # Then
    assert [event.seq for event in seen] == list(range(start + 1, len(log) + 1))
    assert seen[-1].kind == "end"


def test_a_text_is_what_its_chunks_say_in_order() -> None:
    assert text_of([]) == ""
    assert text_of([chunk("a"), chunk(""), chunk(" b"), END]) == "a b"


def test_a_text_begins_anew_at_each_reset() -> None:
    reset, requeued = Event(kind="reset"), Event(kind="requeued", reason="yield")

    assert text_of([chunk("a"), requeued, chunk("b")]) == "ab"
    assert text_of([chunk("a"), requeued, reset, chunk("b"), chunk("c"), END]) == "bc"
    assert text_of([chunk("a"), reset, chunk("b"), reset]) == ""


@pytest.mark.parametrize("state", [state for state in State if state.terminal])
@pytest.mark.parametrize("attempt", [0, 1, 10**9])
@pytest.mark.parametrize("seq", [1, 10**15])
def test_the_end_is_recognised_whatever_its_state_and_number(
    state: State, attempt: int, seq: int
) -> None:
    assert is_end(announced(seq, Event(kind="end", attempt=attempt, state=state)))


@given(st.sampled_from(["chunk", "reset", "requeued"]), TEXTS, st.integers(0, 9))
def test_nothing_else_is_taken_for_the_end(kind: Any, text: str, attempt: int) -> None:
    for said in (text, '"kind":"end"', f'{{"kind":"end"}}{text}'):
        event = Event(kind=kind, attempt=attempt, text=said, reason=said)
        assert not is_end(announced(1, event))


class Hands:
    """A clock that is moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(stream, "time", SimpleNamespace(monotonic=lambda: self.now))


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    return Hands(monkeypatch)


def test_without_a_limit_a_reader_looks_for_itself_after_each_silence(hands: Hands) -> None:
    patience = Patience("j", None)

    for _ in range(3):
        assert patience.slice_s() == SILENCE_S
        hands.now += 1e6


def test_patience_counts_from_the_first_wait_and_its_last_slice_is_what_is_left(
    hands: Hands,
) -> None:
    patience = Patience("j", 2.25)
    hands.now += 50  # what came before the first wait costs nothing
    slices = []
    for _ in range(3):
        slices.append(patience.slice_s())
        hands.now += slices[-1]

    assert slices == [SILENCE_S, SILENCE_S, pytest.approx(0.25)]
    with pytest.raises(ResultTimeout, match=r"Job j has not ended after 2\.25 s") as said:
        patience.slice_s()
    assert (said.value.job_id, said.value.timeout_s) == ("j", 2.25)


@pytest.mark.parametrize("timeout_s", [0, -1])
def test_no_patience_is_over_at_the_first_wait(hands: Hands, timeout_s: float) -> None:
    with pytest.raises(ResultTimeout):
        Patience("j", timeout_s).slice_s()


@given(st.floats(0.001, 1e6), st.lists(st.floats(0, 2), max_size=30))
def test_no_slice_is_longer_than_a_silence_or_reaches_past_the_end(
    timeout_s: float, waits: list[float]
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        hands = Hands(monkeypatch)
        patience = Patience("j", timeout_s)
        ends = [hands.now + patience.slice_s()]
        until = hands.now + timeout_s
        for wait in waits:
            hands.now += wait
            if hands.now >= until:
                with pytest.raises(ResultTimeout):
                    patience.slice_s()
                break
            slice_s = patience.slice_s()
            assert 0 < slice_s <= SILENCE_S
            ends.append(hands.now + slice_s)
        assert all(end <= until + 1e-6 for end in ends)
        assert all(one <= other for one, other in pairwise(ends))
