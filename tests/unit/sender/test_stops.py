"""What the ledger answers to a chunk may stop the generation."""

from __future__ import annotations

import pytest

from tests.support.sending import WAIT_S, Asked, Bench


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


def test_a_reset_that_is_answered_with_a_stop_stops(bench: Bench, ledger: Asked) -> None:
    ledger.answer("cancel")

    bench.sender.reset()

    assert bench.stopped.is_set()
    assert bench.sender.close() == "cancel"
    assert (bench.sender.text, bench.sender.delivered_all) == ("", True)
