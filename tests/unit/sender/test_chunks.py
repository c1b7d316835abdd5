"""Pieces become chunks, which are sent beside the generation: each once, and in order."""

from __future__ import annotations

from ledger.messages import Event
from tests.support.sending import AWAY, Asked, Bench
from workers.backends import Piece


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


def test_the_first_token_is_timed_when_its_chunk_is_accepted(bench: Bench, ledger: Asked) -> None:
    bench.clock.now = 103.5
    bench.begin(ledger, "a")
    bench.clock.now = 110.0
    bench.put("b")
    ledger.next()
    ledger.answer("go")

    bench.sender.close()

    assert bench.sender.first_at == 103.5
