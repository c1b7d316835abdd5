"""Calls of tools, put together from the deltas in which they come."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ledger.tool_calls import put_together


def call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


@given(
    arguments=st.lists(st.text(max_size=20), min_size=1, max_size=4),
    cuts=st.integers(1, 7),
)
def test_calls_cut_into_deltas_are_whole_again(arguments: list[str], cuts: int) -> None:
    # Given calls whose arguments come a few letters at a time, one call after the other
    calls = [call(f"c{i}", f"f{i}", json.dumps(text)) for i, text in enumerate(arguments)]
    deltas: list[dict[str, Any]] = []
    for index, one in enumerate(calls):
        text = one["function"]["arguments"]
        first = {"name": one["function"]["name"], "arguments": ""}
        deltas.append({"index": index, "id": one["id"], "type": "function", "function": first})
        deltas += [
            {"index": index, "function": {"arguments": text[at : at + cuts]}}
            for at in range(0, len(text), cuts)
        ]

    assert list(put_together(deltas)) == calls


def test_deltas_of_two_calls_may_come_mixed() -> None:
    deltas = [
        {"index": 1, "id": "b", "function": {"name": "g", "arguments": "{"}},
        {"index": 0, "id": "a", "function": {"name": "f", "arguments": "["}},
        {"index": 1, "function": {"arguments": "}"}},
        {"index": 0, "function": {"arguments": "]"}},
    ]

    assert put_together(deltas) == (call("a", "f", "[]"), call("b", "g", "{}"))


def test_of_what_is_said_twice_the_first_counts() -> None:
    deltas = [
        {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "1"}},
        {"index": 0, "id": "", "type": None, "function": {"name": "x", "arguments": None}},
    ]

    assert put_together(deltas) == (call("a", "f", "1"),)


def test_without_an_index_an_id_begins_a_call() -> None:
    deltas = [
        {"id": "a", "function": {"name": "f", "arguments": "1"}},
        {"function": {"arguments": "2"}},
        {"id": "b", "function": {"name": "g", "arguments": "3"}},
    ]

    assert put_together(deltas) == (call("a", "f", "12"), call("b", "g", "3"))


def test_what_a_provider_adds_to_a_call_is_kept() -> None:
    deltas = [{"index": 0, "id": "a", "extra_content": {"x": 1}, "function": {"name": "f"}}]

    (found,) = put_together(deltas)

    assert found["extra_content"] == {"x": 1}


def test_no_deltas_are_no_calls() -> None:
    assert put_together([]) == ()
