"""What an instance's table may say to its backend."""

from __future__ import annotations

import pytest

from ledger.errors import InvalidSetting
from ledger.settings import InstanceSpec
from tests.support.sentences import is_one_sentence
from workers.backends.anthropic.options import AnthropicOptions
from workers.backends.llama.options import LlamaOptions
from workers.backends.ollama.options import OllamaOptions
from workers.backends.openai.options import OpenAIOptions
from workers.backends.options import BackendOptions, parse
from workers.backends.vllm_engine.options import VllmEngineOptions


@pytest.mark.parametrize("name", ["adapters", "adapter"])
@pytest.mark.parametrize(
    ("backend", "kind"),
    [
        ("llama_cpp", LlamaOptions),
        ("vllm_engine", VllmEngineOptions),
        ("openai", OpenAIOptions),
        ("vllm", OpenAIOptions),
        ("ollama", OllamaOptions),
        ("anthropic", AnthropicOptions),
    ],
)
def test_lora_adapters_are_refused_by_a_backend_that_has_none(
    backend: str, kind: type[BackendOptions], name: str
) -> None:
    spec = InstanceSpec(name="inst0", backend=backend, options={name: ["a"]})

    with pytest.raises(InvalidSetting) as refused:
        parse(spec, kind)

    assert str(refused.value).startswith(f"inst0: the backend {backend} has no option {name!r}; ")
    assert is_one_sentence(refused.value)


@pytest.mark.parametrize("url", ["localhost", "ftp://a/v1", "http://", "http://a:0", "http://a:b"])
def test_an_address_that_names_no_server_is_refused(url: str) -> None:
    spec = InstanceSpec(name="inst0", backend="openai", options={"base_url": url})

    with pytest.raises(InvalidSetting, match=r"base_url: .*takes a URL such as http://") as refused:
        parse(spec, OpenAIOptions)

    assert is_one_sentence(refused.value)


def test_what_is_no_port_is_not_shown_since_it_may_be_a_part_of_a_password() -> None:
    spec = InstanceSpec(name="inst0", backend="openai", options={"base_url": "http://u:pa/ss@a"})

    with pytest.raises(InvalidSetting) as refused:
        parse(spec, OpenAIOptions)

    assert "pa" not in str(refused.value).removeprefix("inst0: ")
