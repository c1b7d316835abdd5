"""Which orders of a bulk submit were answered from the cache."""

from __future__ import annotations

import pytest

from ledger.errors import CorruptEntry
from ledger.scripts import Call
from producer.cache import Lookup, answered

LOOKUPS = [Lookup(place, Call("cache_answer", [], [], bool)) for place in (0, 3, 5)]


def test_those_that_found_an_answer_need_no_submit() -> None:
    assert answered(LOOKUPS, [True, False, True]) == {0, 5}


def test_one_whose_look_up_failed_is_submitted_and_the_others_are_not_kept_from_theirs() -> None:
    assert answered(LOOKUPS, [True, CorruptEntry(job_id="1"), True]) == {0, 5}


def test_an_error_that_is_not_ours_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        answered(LOOKUPS, [True, ZeroDivisionError(), True])
