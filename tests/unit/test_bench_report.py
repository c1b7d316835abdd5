"""The arithmetic of the benchmark's report."""

from __future__ import annotations

import json

import pytest

from benchmarks.goal import below, ratio_at_least, ratio_at_most
from benchmarks.rounds import interleave
from benchmarks.row import Row
from benchmarks.stats import iqr, median, quantile
from benchmarks.table import number, render


def test_a_median_lies_between_the_two_in_the_middle() -> None:
    assert median([3, 1, 2]) == 2
    assert median([4, 1, 3, 2]) == 2.5


def test_quantiles_are_interpolated() -> None:
    assert quantile([10, 20, 30, 40, 50], 0.99) == pytest.approx(49.6)
    assert quantile([7], 0.99) == 7


@pytest.mark.parametrize(("values", "q"), [([], 0.5), ([1], 1.5), ([1], -0.1)])
def test_a_quantile_of_nothing_is_refused(values: list[float], q: float) -> None:
    with pytest.raises(ValueError, match="no quantile"):
        quantile(values, q)


def test_the_spread_is_not_moved_by_one_disturbed_round() -> None:
    assert iqr([10, 11, 12, 13, 14]) == iqr([10, 11, 12, 13, 1000]) == 2


def test_a_ratio_is_that_of_the_medians() -> None:
    row = Row("any", "ms", [2, 4, 9], [2, 2, 2])

    assert (row.ours, row.baseline, row.ratio) == (4, 2, 2)


def test_the_spread_of_a_ratio_pairs_the_rounds_that_ran_side_by_side() -> None:
    """Given a machine that slowed down for both, the ratio has no spread."""
    row = Row("any", "ms", [1, 2, 3], [10, 20, 30])

    assert row.spread == 0


def test_a_row_alone_has_no_ratio_and_its_own_spread() -> None:
    row = Row("any", "1/s", [10, 20, 30])

    assert (row.baseline, row.ratio, row.spread, row.met) == (None, None, 10, None)


@pytest.mark.parametrize(
    ("goal", "ours", "met"),
    [
        (ratio_at_most(1.1), 1.1, True),
        (ratio_at_most(1.1), 1.11, False),
        (ratio_at_least(2), 2, True),
        (ratio_at_least(2), 1.99, False),
        (below(130), 129.9, True),
        (below(130), 130, False),
    ],
)
def test_a_goal_is_met_up_to_its_bound(goal: object, ours: float, met: bool) -> None:
    row = Row("any", "ms", [ours], [1], goal)  # type: ignore[arg-type]

    assert row.met is met


def test_a_goal_for_a_ratio_is_not_met_without_a_baseline() -> None:
    assert Row("any", "ms", [1], goal=ratio_at_most(2)).met is False


def test_a_row_goes_into_the_file_as_json() -> None:
    stored = json.loads(json.dumps(Row("any", "ms", [1.23456], [2], ratio_at_most(1)).as_dict()))

    assert stored["name"] == "any"
    assert (stored["ours"], stored["baseline"], stored["ratio"]) == (1.235, 2, 0.6173)
    assert (stored["goal"], stored["met"]) == ("ratio <= 1", True)


def test_the_table_says_no_where_a_goal_is_missed_and_lines_up() -> None:
    header, missed, met, free = render(
        [
            Row("slow", "ms", [3], [1], ratio_at_most(1.1)),
            Row("fast enough", "1/s", [30_000], [1000], ratio_at_least(8)),
            Row("for scale", "1/s", [20_000]),
        ]
    ).splitlines()

    at = header.index("met")
    assert (missed[at:], met[at:], free[at:]) == ("NO", "yes", "")
    assert missed.index("ratio") == met.index("ratio") == header.index("goal")


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, ""), (12345.6, "12,346"), (12.34, "12.3"), (1.234, "1.23"), (0.5, "0.50")],
)
def test_numbers_show_the_digits_that_count(value: float | None, shown: str) -> None:
    assert number(value) == shown


def test_rounds_alternate_who_goes_first_after_one_for_nothing() -> None:
    calls: list[str] = []

    mine, theirs = interleave(
        2, lambda: calls.append("ours") or 1, lambda: calls.append("base") or 2
    )

    assert calls == ["ours", "base", "ours", "base", "base", "ours"]
    assert (mine, theirs) == ([1, 1], [2, 2])
