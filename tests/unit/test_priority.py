"""Priorities between people, Celery and the ledger."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.errors import InvalidRequest
from routing.priority import Priority, celery_priority, from_celery, parse


def test_celery_serves_urgent_first_in_steps_of_three() -> None:
    assert [celery_priority(one) for one in Priority] == [0, 3, 6, 9]
    assert [one.name for one in Priority] == ["URGENT", "HIGH", "NORMAL", "LOW"]


def test_a_priority_comes_back_from_celery() -> None:
    assert [from_celery(celery_priority(one)) for one in Priority] == list(Priority)


@pytest.mark.parametrize(
    ("number", "expected"),
    [(None, "URGENT"), (2, "URGENT"), (5, "HIGH"), (8, "NORMAL"), (99, "LOW"), (-1, "URGENT")],
)
def test_numbers_of_foreign_messages_go_to_the_step_that_kombu_takes(
    number: int | None, expected: str
) -> None:
    assert from_celery(number).name == expected


@pytest.mark.parametrize("value", ["LOW", "low", "Low", 9, Priority.LOW])
def test_a_priority_is_known_by_name_number_or_itself(value: Any) -> None:
    assert parse(value) is Priority.LOW


@pytest.mark.parametrize("value", ["super", "", "9", 1, -1, True, False, 6.5, None])
def test_an_unknown_priority_is_refused_with_the_known_ones(value: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"URGENT \(0\), HIGH \(3\), NORMAL \(6\), LOW \(9\)"):
        parse(value)


def test_only_low_and_normal_make_way() -> None:
    ways = {one.name: one.yields_to_bands_below for one in Priority}
    assert ways == {"URGENT": 0, "HIGH": 0, "NORMAL": 1, "LOW": 3}
