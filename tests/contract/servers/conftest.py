"""A server of each API that is not OpenAI's, and a backend that asks it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.apis import ANTHROPIC, OLLAMA, Api
from tests.support.loaded import loaded
from workers.backends import Backend


@pytest.fixture(params=[ANTHROPIC, OLLAMA], ids=lambda api: api.library)
def api(request: pytest.FixtureRequest) -> Api:
    pytest.importorskip(request.param.library)
    api: Api = request.param
    return api


@pytest.fixture
def server(api: Api) -> Iterator[Any]:
    with api.serve() as server:
        yield server


@pytest.fixture
def backend(api: Api, server: Any) -> Iterator[Backend]:
    with loaded(api.table(server)) as backend:
        yield backend
