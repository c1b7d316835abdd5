"""Which server an instance asks, and how long it waits for that."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("openai")

from ledger.errors import BackendError, InvalidSetting
from tests.contract.servers.openai.conftest import KEY
from tests.support import fake_openai
from tests.support.fake_openai import MODEL, answers_with
from tests.support.loaded import created, pieces_of, text_of


def made(backend: str = "openai", **table: Any) -> Any:
    """The backend of an instance, not loaded."""
    return created({"backend": backend, "model": MODEL, **table}, api_key=KEY)


def test_loading_waits_for_a_server_that_still_starts() -> None:
    # Given
    with fake_openai.serving(answers_with("a")) as server:
        server.well = False
        backend = made(base_url=server.url)
        said: list[str] = []

        def hear(what: str) -> None:
            said.append(what)
            server.well = True

        # When
        backend.load(hear)
        # Then
        assert len(said) == 1
        assert "Loading model" in said[0]
        assert backend.health() == ""
        backend.close()


def test_loading_ends_when_nobody_answers_for_too_long() -> None:
    table = {"backend": "openai", "base_url": "http://127.0.0.1:9/v1"}
    backend = created(table, load_timeout_s=0.01)

    with pytest.raises(BackendError, match=r"No connection to http://127\.0\.0\.1:9/v1 can"):
        backend.load()


@pytest.mark.parametrize("status", [402, 403])  # an empty account, a key for answers alone
def test_models_that_are_withheld_keep_nobody_from_starting(status: int) -> None:
    with fake_openai.serving(answers_with("a")) as server:
        server.withheld = status
        backend = made(base_url=server.url)

        backend.load()

        assert text_of(pieces_of(backend, "Say hi")) == "a"
        backend.close()


def test_the_server_that_lists_models_is_heard_where_another_withholds_them() -> None:
    with (
        fake_openai.serving(answers_with("a")) as one,
        fake_openai.serving(owner="vllm", window=77) as other,
    ):
        one.withheld = 403
        backend = made(endpoints=[one.url, other.url])

        backend.load()

        assert backend.abilities.window == 77
        backend.close()


def test_several_servers_are_reached_by_the_environments_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a proxy, and two servers that only it reaches
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with fake_openai.serving(answers_with("a")) as proxy:
        monkeypatch.setenv("http_proxy", f"127.0.0.1:{proxy.port}")
        backend = made(endpoints=["http://one.invalid/v1", "http://two.invalid/v1"])
        # When
        backend.load()
        # Then
        assert text_of(pieces_of(backend, "Say hi")) == "a"
        assert {one.headers["host"] for one in proxy.asked} == {"one.invalid", "two.invalid"}
        backend.close()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"colour": "red"}, "has no option 'colour'; it has base_url, "),
        ({"base_url": "localhost:8000"}, "takes a URL such as http://localhost:8000/v1"),
        ({"base_url": "http://localhost:8O00/v1"}, "takes a URL such as http://localhost:8000/v1"),
        ({"base_url": "http://[::1/v1"}, "takes a URL such as http://localhost:8000/v1"),
        ({"base_url": "http://a/v1", "endpoints": ["http://b/v1"]}, "and not both"),
        ({"endpoints": ["http://b/v1", "http://b/v1/"]}, "names one of them twice"),
        ({"extra_body": {"messages": []}}, "messages is set by apexq"),
        ({"extra_body": {"max_tokens": 9000}}, "max_tokens is set by apexq"),
        ({"model": None}, "OpenAI has many models; set model"),
    ],
)
def test_options_that_cannot_be_used_are_refused(table: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidSetting) as refused:
        made(**table)

    assert said in str(refused.value)


def test_openais_own_api_is_not_asked_without_a_key() -> None:
    with pytest.raises(InvalidSetting, match="needs a key; set LLM_API_KEY"):
        created({"backend": "openai", "model": "m"})


def test_lm_studio_is_asked_on_this_machine_and_without_the_common_key() -> None:
    with fake_openai.serving(answers_with("a")) as server:
        backend = made("lmstudio", base_url=server.url)
        backend.load()

        pieces_of(backend, "Say hi")

        assert KEY not in server.headers[0]["authorization"]
        backend.close()
    assert made("lmstudio").default_urls == ("http://localhost:1234/v1",)


def test_vllm_has_to_be_told_where_its_servers_are() -> None:
    with pytest.raises(InvalidSetting, match="needs its servers; set endpoints"):
        made("vllm")
