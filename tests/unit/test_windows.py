"""Windows of UTC, and how a denial speaks of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import BudgetExceeded, from_record, to_record
from ledger.windows import WINDOWS, Window, in_words, index, next_turn


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("window", "now", "turn"),
    [
        ("hour", "2026-12-31 23:59:59", "2027-01-01 00:00"),
        ("hour", "2026-05-01 10:00:00", "2026-05-01 11:00"),
        ("day", "2024-02-28 12:00:00", "2024-02-29 00:00"),
        ("day", "2026-02-28 12:00:00", "2026-03-01 00:00"),
        ("month", "2026-12-31 23:00:00", "2027-01-01 00:00"),
        ("month", "2026-01-31 00:00:00", "2026-02-01 00:00"),
    ],
)
def test_a_window_ends_where_the_calendar_says(window: Window, now: str, turn: str) -> None:
    assert next_turn(window, ms(now)) == datetime.fromisoformat(turn).replace(tzinfo=UTC)


@given(st.sampled_from(WINDOWS), st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001
def test_a_window_has_one_number_until_it_turns(window: Window, moment: datetime) -> None:
    now_ms = int(moment.replace(tzinfo=UTC).timestamp() * 1000)
    turn = next_turn(window, now_ms)
    last_ms = int((turn - timedelta(milliseconds=1)).timestamp() * 1000)
    assert index(window, last_ms) == index(window, now_ms)
    assert index(window, int(turn.timestamp() * 1000)) > index(window, now_ms)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "1 min"),
        (59 * 60, "59 min"),
        (3600, "1 h"),
        (11_520, "3 h 12 min"),
        (2 * 86_400 + 7200, "2 d 2 h"),
    ],
)
def test_a_wait_is_said_in_its_two_largest_units(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_a_denial_says_the_sums_and_when_the_window_opens_anew() -> None:
    now_ms = ms("2026-03-01 20:48:00")
    denied = BudgetExceeded.of("agent:Coder", 1000, 900, 100, 50, window="day", now_ms=now_ms)

    assert str(denied) == (
        "agent:Coder has used 900 and holds 100 of 1,000 tokens a day; 50 more do not fit. "
        "The window opens anew at 00:00 UTC (in 3 h 12 min)."
    )
    assert (denied.window, denied.retry_after_s) == ("day", 11_520)
    assert denied.resets_at == "2026-03-02T00:00:00+00:00"
    assert str(from_record(to_record(denied))) == str(denied)


def test_a_month_names_the_day_and_an_hour_is_spoken_as_one() -> None:
    now_ms = ms("2026-03-30 23:00:00")
    month = BudgetExceeded.of("tenant:t", 9, 9, 0, 1, window="month", now_ms=now_ms)
    hour = BudgetExceeded.of("tenant:t", 9, 9, 0, 1, window="hour", now_ms=now_ms)
    assert "tokens a month; " in str(month)
    assert "opens anew on 2026-04-01 at 00:00 UTC (in 1 d 1 h)." in str(month)
    assert "tokens an hour; " in str(hour)


def test_a_request_that_never_fits_is_not_told_to_wait() -> None:
    denied = BudgetExceeded.of("tenant:t", 9, 0, 0, 10, window="hour", now_ms=0)
    assert str(denied).endswith("10 more do not fit. Lower max_tokens or raise the budget.")


def test_a_total_says_what_can_be_done_and_has_no_end() -> None:
    denied = BudgetExceeded.of("episode:e", 9, 9, 0, 1)
    assert str(denied).endswith("Lower max_tokens, wait for jobs to end, or raise the budget.")
    assert (denied.window, denied.resets_at, denied.retry_after_s) == (None, None, None)
