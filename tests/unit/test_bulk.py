"""How a bulk submit is cut, and whose refusal is whose."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.errors import BudgetExceeded, CorruptEntry
from producer.bulk import AT_ONCE, BATCH_CHARS, BATCH_JOBS, Batch, cut, pipelines, refusals

CALL: Any = None
DENIED = BudgetExceeded(scope="tenant:a", limit=1, used=1, held=0, requested=1)


def test_nothing_makes_no_batch() -> None:
    assert list(cut([])) == []


def test_a_batch_has_so_many_jobs_at_most() -> None:
    assert list(cut([1] * (BATCH_JOBS + 1))) == [
        slice(0, BATCH_JOBS),
        slice(BATCH_JOBS, BATCH_JOBS + 1),
    ]


def test_long_requests_make_small_batches() -> None:
    half = BATCH_CHARS // 2

    assert list(cut([half, half, 1, BATCH_CHARS + 1, 1])) == [
        slice(0, 2),
        slice(2, 3),
        slice(3, 4),
        slice(4, 5),
    ]


def test_a_pipeline_has_so_many_batches_at_most() -> None:
    batches = [Batch([place], CALL) for place in range(AT_ONCE + 1)]

    assert [len(some) for some in pipelines(batches)] == [AT_ONCE, 1]


def test_each_order_gets_its_own_answer() -> None:
    batches = [Batch([0, 2], CALL), Batch([1], CALL)]

    assert dict(refusals(batches, [["inst0", DENIED], ["inst1"]])) == {0: None, 2: DENIED, 1: None}


def test_what_went_wrong_with_a_batch_is_said_of_each_order() -> None:
    damaged = CorruptEntry(job_id="any")

    assert dict(refusals([Batch([3, 4], CALL)], [damaged])) == {3: damaged, 4: damaged}


def test_an_error_that_is_not_ours_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        dict(refusals([Batch([0], CALL)], [ZeroDivisionError()]))
