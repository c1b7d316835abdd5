"""An error stops the generation, and whoever closes the sender gets it."""

from __future__ import annotations

import pytest

from ledger.errors import ApexError, CorruptEntry
from tests.support.sending import WAIT_S, Asked, Bench


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
