"""The registry as Redis answers it."""

from __future__ import annotations

import math

import pytest

from ledger.instances import Descriptor
from routing.registry import parse_registry

NOW_MS = 1_000_500


def stored(name: str) -> str:
    return Descriptor(name=name, backend="mock", model="m").model_dump_json()


def test_absence_counts_from_the_last_sign_of_life() -> None:
    registry = parse_registry(
        {"inst1": stored("inst1"), "inst0": stored("inst0")},
        {"inst0": "1000000", "inst1": "1000400"},
        NOW_MS,
    )
    assert [entry.descriptor.name for entry in registry.entries] == ["inst0", "inst1"]
    assert [entry.absent_s for entry in registry.entries] == pytest.approx([0.5, 0.1])


def test_an_instance_never_heard_is_absent_for_ever_and_one_of_the_future_not_at_all() -> None:
    registry = parse_registry(
        {"a": stored("a"), "b": stored("b")}, {"b": "2e6", "gone": "1"}, NOW_MS
    )
    assert [entry.absent_s for entry in registry.entries] == [math.inf, 0]


@pytest.mark.parametrize(
    "damaged",
    ["", "{", "null", "\udcff", '{"name": "bad"}', stored("other"), "[1, 2]"]
    + [stored("bad").replace("1.0", weight) for weight in ("NaN", "0", "-1", "Infinity")],
)
def test_a_damaged_entry_is_left_out_and_the_others_stay(damaged: str) -> None:
    registry = parse_registry({"bad": damaged, "good": stored("good")}, {}, NOW_MS)
    assert [entry.descriptor.name for entry in registry.entries] == ["good"]


def test_a_field_of_a_newer_worker_is_no_damage() -> None:
    newer = stored("a").replace("{", '{"colour": "red", ', 1)
    assert len(parse_registry({"a": newer}, {}, NOW_MS).entries) == 1
