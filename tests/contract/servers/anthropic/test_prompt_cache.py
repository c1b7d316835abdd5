"""What requests have in common is marked for the prompt cache of the API."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("anthropic")

from tests.contract.servers.anthropic.conftest import WEATHER, text
from tests.support.apis import ANTHROPIC
from tests.support.fake_anthropic import PATH, FakeAnthropic
from tests.support.loaded import loaded, pieces_of
from tests.support.word_model import SHORT
from workers.backends import Backend

EPHEMERAL = {"type": "ephemeral", "ttl": "5m"}


def test_what_requests_have_in_common_is_cached(backend: Backend, server: FakeAnthropic) -> None:
    system = {"role": "system", "content": "Be short."}
    first = [system, {"role": "user", "content": "Hi"}]
    later = [*first, {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "Go"}]

    pieces_of(backend, messages=first)
    pieces_of(backend, messages=later)
    pieces_of(backend, SHORT, tools=(WEATHER,))

    one, two, three = server.of(PATH)
    assert one["system"] == two["system"] == [{**text("Be short."), "cache_control": EPHEMERAL}]
    assert "cache_control" not in one  # its question does not come again
    assert two["cache_control"] == EPHEMERAL
    assert three["tools"][-1]["cache_control"] == EPHEMERAL


def test_without_prompt_cache_nothing_is(server: FakeAnthropic) -> None:
    turns = [{"role": role, "content": "a"} for role in ("system", "user", "assistant", "user")]

    with loaded(ANTHROPIC.table(server, prompt_cache=False)) as backend:
        pieces_of(backend, messages=turns)

    assert "cache_control" not in json.dumps(server.of(PATH))
