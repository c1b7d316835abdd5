"""This API alone, and what several tests say in its form."""

from __future__ import annotations

import pytest

from tests.support.apis import ANTHROPIC, Api

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "Tells it.", "parameters": CITY},
}


@pytest.fixture
def api() -> Api:
    pytest.importorskip(ANTHROPIC.library)
    return ANTHROPIC


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}
