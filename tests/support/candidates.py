"""Every backend there is, with a model or a server of the tests', and how to ask it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ledger.settings import InstanceSpec, Settings, load_settings
from tests.support import tiny_gguf, word_model
from tests.support.fake_server import FakeServer

MANY = 20


@dataclass(frozen=True)
class Candidate:
    """A backend and how to ask it.

    ``long`` makes an answer of more than MANY tokens, ``short`` one that ends by itself within
    MANY, ``slow`` one that takes seconds per token (None: it cannot be made to). ``servers`` are
    closed after the tests.
    """

    spec: InstanceSpec
    settings: Settings
    long: str
    short: str
    slow: str | None = None
    servers: ExitStack = field(default_factory=ExitStack)


def mock(folder: Path) -> Candidate:
    return Candidate(
        spec=InstanceSpec(name="inst0", backend="mock"),
        settings=load_settings(env={}, mock_directives=True),
        long="[[mock tokens=1000]] Zürich 日本",
        short="hello",
        slow="[[mock tokens=1000 tps=0.01]]",
    )


def llama_cpp(folder: Path) -> Candidate:
    pytest.importorskip("llama_cpp")
    model = tiny_gguf.write(folder / "tiny.gguf", ends=True)
    settings = load_settings(env={}, instances=2, gguf_model_path=model)
    return Candidate(
        spec=settings.instances[0], settings=settings, long=tiny_gguf.LONG, short=tiny_gguf.SHORT
    )


def hf(folder: Path, quantization: str = "none") -> Candidate:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from tests.support import tiny_safetensors

    model = tiny_safetensors.write(folder / "tiny", ends=True)
    table = {"backend": "hf", "model": str(model), "quantization": quantization, "device": "cpu"}
    settings = load_settings(env={}, instances=[{"name": name, **table} for name in ("a", "b")])
    return Candidate(spec=settings.instances[0], settings=settings, long="rain", short="good night")


def hf_nf4(folder: Path) -> Candidate:
    pytest.importorskip("bitsandbytes")
    return hf(folder, "nf4")


def mlx(folder: Path) -> Candidate:
    pytest.importorskip("mlx_lm")
    from tests.support import tiny_safetensors

    model = tiny_safetensors.write(folder / "tiny", ends=True)
    table = {"name": "inst0", "backend": "mlx", "model": str(model)}
    settings = load_settings(env={}, instances=[table])
    return Candidate(
        spec=settings.instances[0],
        settings=settings,
        long=tiny_safetensors.LONG,
        short=tiny_safetensors.SHORT,
    )


def openai(folder: Path, api: str = "chat") -> Candidate:
    pytest.importorskip("openai")
    pytest.importorskip("llama_cpp.server.app")
    from tests.support import llama_server

    servers = ExitStack()
    model = tiny_gguf.write(folder / "tiny.gguf", ends=True, plain=True)
    [server] = servers.enter_context(llama_server.serving(model, folder))
    table = {"base_url": server.url, "api": api, "extra_body": {"repeat_penalty": 1.0}}
    settings = load_settings(env={}, instances=[{"name": "inst0", "backend": "openai", **table}])
    long, short = ("a", "stop") if api == "chat" else ("hello there", "poem")
    return Candidate(settings.instances[0], settings, long, short, servers=servers)


def openai_completions(folder: Path) -> Candidate:
    return openai(folder, "completions")


def ollama(folder: Path, prefill: bool = False) -> Candidate:
    pytest.importorskip("ollama")
    from tests.support import fake_ollama

    server = fake_ollama.FakeOllama()
    table = {"backend": "ollama", "model": fake_ollama.MODEL, "base_url": server.url}
    return of_words(server, {**table, "prefill": prefill})


def ollama_prefill(folder: Path) -> Candidate:
    return ollama(folder, prefill=True)


def anthropic(folder: Path) -> Candidate:
    pytest.importorskip("anthropic")
    from tests.support import fake_anthropic

    server = fake_anthropic.FakeAnthropic()
    table = {"backend": "anthropic", "model": fake_anthropic.MODEL, "base_url": server.url}
    return of_words(server, {**table, "api_key": fake_anthropic.KEY})


def of_words(server: FakeServer, table: dict[str, Any]) -> Candidate:
    settings = load_settings(env={}, instances=[{"name": "inst0", **table}])
    servers = ExitStack()
    servers.callback(server.close)
    long, short, slow = word_model.LONG, word_model.SHORT, word_model.SLOW
    return Candidate(settings.instances[0], settings, long, short, slow, servers=servers)


CANDIDATES = {
    each.__name__: each
    for each in (
        mock,
        llama_cpp,
        hf,
        hf_nf4,
        mlx,
        openai,
        openai_completions,
        ollama,
        ollama_prefill,
        anthropic,
    )
}
