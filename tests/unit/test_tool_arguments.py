"""The arguments of a call of a tool, for APIs that take them as an object."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.errors import InvalidRequest
from workers.backends.servers.arguments import arguments_of


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"arguments": '{"city": "Bern"}'}, {"city": "Bern"}),
        ({"arguments": {"city": "Bern"}}, {"city": "Bern"}),
        ({"arguments": ""}, {}),
        ({"arguments": None}, {}),
        ({}, {}),
    ],
)
def test_they_are_json_as_text_or_an_object_already(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert arguments_of({"name": "f", **given}) == expected


@pytest.mark.parametrize("given", ["{", "[1]", "null", 5, [1]])
def test_anything_else_is_refused_by_the_name_of_the_tool(given: Any) -> None:
    with pytest.raises(InvalidRequest, match="the call of 'f' are no JSON object"):
        arguments_of({"name": "f", "arguments": given})
