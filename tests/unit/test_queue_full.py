"""When a full queue is worth another try."""

from __future__ import annotations

import pytest

from ledger.queue_place import retry_after_s


@pytest.mark.parametrize(
    ("waiting", "run_ms", "slots", "expected"),
    [
        (1000, 2000, 1, 20),  # a hundredth of them, 2 s each
        (1000, 2000, 4, 5),
        (3, 4000, 1, 4),  # the time of one job at least
        (3, 10, 1, 1),
        (1_000_000, 60_000, 1, 60),
        (1000, 0, 1, 5),  # nothing has run yet
    ],
)
def test_the_hint_follows_what_waits_and_how_long_jobs_run(
    waiting: int, run_ms: int, slots: int, expected: int
) -> None:
    assert retry_after_s(waiting, run_ms=run_ms, slots=slots) == expected
