"""This API alone, and what several tests say in its form."""

from __future__ import annotations

import pytest

from tests.support.apis import OLLAMA, Api

CITY = {"type": "object", "properties": {"at": {"type": "object", "properties": {"city": {}}}}}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": CITY}}


@pytest.fixture
def api() -> Api:
    pytest.importorskip(OLLAMA.library)
    return OLLAMA
