"""Which requests share an answer: alike in all that changes it, and in nothing less."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.cache_key import APART, CacheKey, fingerprint, key_of, takes_part
from ledger.errors import InvalidRequest
from ledger.messages import Request, parse_request
from ledger.settings import InstanceSpec, Settings, load_settings
from producer.cache import marked

SPEC = InstanceSpec(name="inst0", backend="ollama", model="m")


def settings(**given: Any) -> Settings:
    return load_settings(env={"APEX_CONFIG": ""}, **given)


def request(**changes: Any) -> Request:
    return parse_request(**{"prompt": "hello", "agent_id": "a", **changes})


def key(spec: InstanceSpec = SPEC, **changes: Any) -> CacheKey:
    return key_of(request(**changes), fingerprint(spec, settings()))


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "hello "},
        {"prompt": None, "messages": ({"role": "user", "content": "hello"},)},
        {"max_tokens": 64},
        {"temperature": 0},
        {"temperature": 0.7},
        {"top_p": 0.5},
        {"top_k": 3},
        {"stop": ("x",)},
        {"seed": 1},
        {"logit_bias": {"5": 1.0}},
        {"logprobs": 0},
        {"response_format": {"type": "json_object"}},
        {"tools": ({"type": "function"},)},
        {"tool_choice": "none"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_changes_the_answer_has_a_key_of_its_own(change: dict[str, Any]) -> None:
    assert key(**change).entry != key().entry


def test_a_system_prompt_and_an_image_change_the_answer() -> None:
    def shown(url: str, system: str = "s") -> str:
        image = {"type": "image_url", "image_url": {"url": url}}
        messages = (
            {"role": "system", "content": system},
            {"role": "user", "content": ({"type": "text", "text": "what is it?"}, image)},
        )
        return key(prompt=None, messages=messages).entry

    assert len({shown("data:,a"), shown("data:,b"), shown("data:,a", "t")}) == 3
    assert shown("data:,a") == shown("data:,a")


def test_the_order_of_a_schemas_properties_changes_the_answer() -> None:
    def of(*names: str) -> str:
        return key(response_format={"properties": {name: {} for name in names}}).entry

    assert of("a", "b") != of("b", "a")


@pytest.mark.parametrize(
    "change",
    [
        {"agent_id": "b"},
        {"session_id": "s"},
        {"episode_id": "e"},
        {"model": "m"},
        {"instance": "inst0"},
        {"priority": "URGENT"},
        {"timeout_s": 5},
        {"queue_timeout_s": 5},
        {"metadata": {"a": "b"}},
        {"cache": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_who_asks_and_how_soon_does_not_change_the_answer(change: dict[str, Any]) -> None:
    assert key(**change).entry == key().entry


def test_every_option_is_either_part_of_the_key_or_known_not_to_be() -> None:
    assert set(Request.model_fields) - APART == {
        "prompt",
        "messages",
        "max_tokens",
        "temperature",
        "top_p",
        "top_k",
        "stop",
        "seed",
        "logit_bias",
        "logprobs",
        "response_format",
        "tools",
        "tool_choice",
    }


def test_tenants_share_nothing() -> None:
    assert key(tenant="acme").entry != key(tenant="other").entry
    assert key(tenant="acme").run_keys != key(tenant="other").run_keys


@pytest.mark.parametrize(
    "other",
    [
        {"backend": "vllm"},
        {"model": "m2"},
        {"options": {"adapter": "lora"}},
    ],
    ids=str,
)
def test_another_model_or_configuration_is_another_answer(other: dict[str, Any]) -> None:
    assert key(SPEC.model_copy(update=other)).entry != key().entry


def test_a_setting_that_is_sent_only_if_somebody_set_it_is_another_answer_then() -> None:
    default = settings()
    for name in ("temperature", "top_p"):
        same = settings(**{name: getattr(default, name)})
        assert fingerprint(SPEC, same) != fingerprint(SPEC, default)


@pytest.mark.parametrize(
    ("backend", "variable"), [("anthropic", "ANTHROPIC_BASE_URL"), ("ollama", "OLLAMA_HOST")]
)
def test_a_server_that_a_librarys_own_variable_names_gives_another_answer(
    monkeypatch: pytest.MonkeyPatch, backend: str, variable: str
) -> None:
    asking = SPEC.model_copy(update={"backend": backend})
    usual = fingerprint(asking, settings())
    monkeypatch.setenv(variable, "http://elsewhere:8000")
    assert fingerprint(asking, settings()) != usual


@pytest.mark.parametrize("backend", ["openai", "vllm", "lmstudio", "remote"])
def test_nothing_is_kept_where_only_the_server_knows_its_model(backend: str) -> None:
    unnamed = SPEC.model_copy(update={"backend": backend, "model": None})
    assert fingerprint(unnamed, settings()) == ""
    assert fingerprint(InstanceSpec(name="inst0", backend="mock"), settings()) != ""


def test_instances_that_are_alike_share_answers_and_a_key_for_an_api_does_not_count() -> None:
    assert key(SPEC.model_copy(update={"name": "inst1", "slots": 4})).entry == key().entry
    assert key(SPEC.model_copy(update={"options": {"api_key": "k"}})).entry == key().entry


def test_only_requests_of_the_same_rank_and_limits_share_a_run() -> None:
    assert key(agent_id="b").run == key().run
    assert key(priority="LOW").run != key().run
    assert key(timeout_s=5).run != key().run


@pytest.mark.parametrize(
    ("set_to", "option", "temperature", "expected"),
    [
        (None, None, 0, True),
        (None, None, 0.7, False),
        (None, None, None, False),
        (None, True, 0.7, True),
        (None, False, 0, False),
        (True, None, 0.7, True),
        (True, False, 0.7, False),
        (False, None, 0, False),
        (False, True, 0.7, True),
    ],
)
def test_who_takes_part(
    set_to: bool | None, option: bool | None, temperature: float | None, expected: bool
) -> None:
    asked = request(cache=option, temperature=temperature)
    assert takes_part(asked, settings(enable_cache=set_to)) is expected
    assert marked(asked, settings(enable_cache=set_to)).cache is (True if expected else option)


def test_a_greedy_setting_counts_where_the_request_gives_no_temperature() -> None:
    assert takes_part(request(), settings(temperature=0))
    assert not takes_part(request(temperature=1), settings(temperature=0))


def test_a_request_with_history_has_no_part_in_it_and_may_not_ask_for_one() -> None:
    asked = {"session_id": "s", "history": True, "temperature": 0}
    assert not takes_part(request(**asked), settings(enable_cache=True))
    with pytest.raises(InvalidRequest, match="exclude one another"):
        marked(request(**asked, cache=True), settings())


def test_a_cache_of_no_size_is_none() -> None:
    none = settings(cache_max_mb=0, enable_cache=True)
    assert fingerprint(SPEC, none) == ""
    assert marked(request(cache=True), none).cache is None
