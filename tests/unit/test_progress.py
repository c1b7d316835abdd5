"""What a caller may report as an episode's progress."""

from __future__ import annotations

import json
from typing import Any

import pytest

from budgets.progress import KINDS, MOST_BYTES, check_kind, packed
from ledger.errors import InvalidRequest
from tests.support.sentences import is_one_sentence


@pytest.mark.parametrize("kind", KINDS)
def test_the_kinds_of_the_seed_are_progress(kind: str) -> None:
    check_kind(kind)


@pytest.mark.parametrize("kind", ["test_run", "tick", "tokens", "", 7, None, "x" * 1000])
def test_anything_else_is_refused_with_the_known_kinds(kind: Any) -> None:
    with pytest.raises(InvalidRequest, match="did you mean") as refused:
        check_kind(kind)
    assert is_one_sentence(refused.value)
    assert all(known in str(refused.value) for known in KINDS)


def test_facts_travel_as_json() -> None:
    assert packed({}) == ""
    assert json.loads(packed({"passed": 12, "file": "naïve.py"})) == {
        "passed": 12,
        "file": "naïve.py",
    }


@pytest.mark.parametrize(
    "value",
    [float("nan"), object(), {1, 2}, "\ud800", "x" * MOST_BYTES],
    ids=["nan", "object", "set", "surrogate", "too long"],
)
def test_facts_that_no_line_can_have_are_refused(value: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        packed({"fact": value})
    assert is_one_sentence(refused.value)
