"""Calls of tools that a model asks for: put together from the deltas in which they come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def put_together(deltas: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """The calls that ``deltas`` are parts of, in the form of an assistant's message.

    Both are those of OpenAI's chat API. A delta belongs to the call of its ``index``; where it has
    none, an ``id`` begins a call and others belong to the latest. The ``arguments`` of a call's
    function are joined, of all else the first counts.
    """
    calls: dict[Any, dict[str, Any]] = {}
    latest: Any = 0
    for delta in deltas:
        latest = _place_of(delta, latest, calls)
        _add(calls.setdefault(latest, {}), delta)
    return tuple(calls[place] for place in sorted(calls))


def _place_of(delta: Mapping[str, Any], latest: int, calls: Mapping[int, Any]) -> int:
    index = delta.get("index")
    if isinstance(index, int):
        return index
    begins = delta.get("id") and calls.get(latest, {}).get("id") not in (None, delta["id"])
    return latest + 1 if begins else latest


def _add(call: dict[str, Any], delta: Mapping[str, Any]) -> None:
    for name, value in delta.items():
        if name == "function":
            _add_function(call.setdefault(name, {}), value or {})
        elif name != "index" and value is not None:
            call.setdefault(name, value)
    call.setdefault("type", "function")


def _add_function(function: dict[str, Any], delta: Mapping[str, Any]) -> None:
    for name, value in delta.items():
        if name == "arguments":
            function[name] = function.get(name, "") + str(value or "")
        elif value is not None:
            function.setdefault(name, value)
