"""What the table of an instance says, and what the API says of the model."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("anthropic")

from ledger.errors import InvalidSetting
from tests.contract.servers.anthropic.conftest import WEATHER
from tests.support.apis import ANTHROPIC
from tests.support.fake_anthropic import PATH, FakeAnthropic
from tests.support.loaded import created, loaded, pieces_of, text_of
from tests.support.word_model import GREETING, SHORT
from workers.backends import Backend


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        (
            {"thinking": "adaptive", "effort": "low"},
            {
                "thinking": {"type": "adaptive", "display": "summarized"},
                "output_config": {"effort": "low"},
            },
        ),
        (
            {"thinking_tokens": 2048},
            {"thinking": {"type": "enabled", "display": "summarized", "budget_tokens": 2048}},
        ),
        ({"thinking": "disabled"}, {"thinking": {"type": "disabled"}}),
        ({"extra_body": {"service_tier": "standard_only"}}, {"service_tier": "standard_only"}),
    ],
)
def test_the_instances_table_sets_what_is_the_same_for_all_requests(
    server: FakeAnthropic, options: dict[str, Any], sent: dict[str, Any]
) -> None:
    with loaded(
        ANTHROPIC.table(server, **options, extra_headers={"anthropic-beta": "b-1"})
    ) as backend:
        pieces_of(backend, SHORT, 4096)

    [body] = server.of(PATH)
    assert body.items() >= sent.items()
    assert server.asked[-1].headers["anthropic-beta"] == "b-1"


def test_an_answer_that_is_shorter_than_thoughts_may_be_goes_without_them(
    server: FakeAnthropic,
) -> None:
    with loaded(ANTHROPIC.table(server, thinking_tokens=1024)) as backend:
        assert text_of(pieces_of(backend, SHORT, 1024)) == GREETING
        pieces_of(backend, SHORT, 1025)

    short, long = server.of(PATH)
    assert "thinking" not in short
    assert long["thinking"]["budget_tokens"] == 1024


@pytest.mark.parametrize("options", [{"thinking": "adaptive"}, {"thinking_tokens": 1024}])
@pytest.mark.parametrize(
    "fields",
    [
        {"response_format": {"type": "json_object"}},
        {"tools": (WEATHER,), "tool_choice": "required"},
        {"tools": (WEATHER,), "tool_choice": {"type": "function", "function": {"name": "weather"}}},
    ],
)
def test_an_answer_that_must_call_a_tool_goes_without_thoughts(
    server: FakeAnthropic, options: dict[str, Any], fields: dict[str, Any]
) -> None:
    with loaded(ANTHROPIC.table(server, **options)) as backend:
        pieces_of(backend, SHORT, 4096, **fields)
        pieces_of(backend, SHORT, 4096, tools=(WEATHER,), tool_choice="auto")

    must, may = server.of(PATH)
    assert "thinking" not in must
    assert may["thinking"]["type"] in ("adaptive", "enabled")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"temprature": 1}, "the backend anthropic has no option 'temprature'; it has base_url"),
        ({"thinking_tokens": 5}, "thinking_tokens: "),
        ({"thinking": "adaptive", "thinking_tokens": 2048}, "thinking or thinking_tokens"),
        ({"extra_body": {"model": "x"}}, "model is set by apexq"),
        ({"model": None}, "anthropic needs the name of a model"),
        ({"base_url": "localhost:8000"}, "takes a URL such as http://localhost:8000"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused(
    server: FakeAnthropic, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidSetting, match=said):
        created(ANTHROPIC.table(server, **options))


def test_it_knows_the_window_and_the_images_from_the_api(backend: Backend) -> None:
    assert backend.abilities.window == 200_000
    assert backend.abilities.images
    assert not backend.abilities.continues


def test_a_server_that_tells_nothing_of_its_models_is_used_without(server: FakeAnthropic) -> None:
    with loaded(ANTHROPIC.table(server, model="another", window=8192)) as backend:
        assert backend.abilities.window == 8192
