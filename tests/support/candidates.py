"""Every backend there is, with a model or a server of the tests', and how to ask it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ledger.settings import InstanceSpec, Settings, load_settings
from tests.support import llama_server, local_models, tiny_gguf, word_model
from tests.support.apis import ANTHROPIC, OLLAMA, Api
from tests.support.local_models import Library

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
    return of_library(local_models.llama_cpp(), folder)


def hf(folder: Path) -> Candidate:
    return of_library(local_models.hf(), folder, "rain", "good night")


def hf_nf4(folder: Path) -> Candidate:
    return of_library(local_models.hf_nf4(), folder, "rain", "good night")


def mlx(folder: Path) -> Candidate:
    return of_library(local_models.mlx(), folder)


def of_library(
    library: Library, folder: Path, long: str | None = None, short: str | None = None
) -> Candidate:
    """With prompts of its own, or those that the model was made for."""
    model = library.write(folder, ends=True)
    table = {"name": "inst0", **library.table, "model": str(model)}
    settings = load_settings(env={}, instances=[table])
    tiny = library.tiny
    return Candidate(settings.instances[0], settings, long or tiny.LONG, short or tiny.SHORT)


def openai(folder: Path, api: str = "chat") -> Candidate:
    pytest.importorskip("openai")
    pytest.importorskip("llama_cpp.server.app")
    servers = ExitStack()
    model = tiny_gguf.write(folder / "tiny.gguf", ends=True, plain=True)
    [server] = servers.enter_context(llama_server.serving(model, folder))
    table = {"base_url": server.url, "api": api, "extra_body": {"repeat_penalty": 1.0}}
    settings = load_settings(env={}, instances=[{"name": "inst0", "backend": "openai", **table}])
    long, short = ("a", "stop") if api == "chat" else ("hello there", "poem")
    return Candidate(settings.instances[0], settings, long, short, servers=servers)


def openai_completions(folder: Path) -> Candidate:
    return openai(folder, "completions")


def ollama(folder: Path) -> Candidate:
    return of_words(OLLAMA)


def ollama_prefill(folder: Path) -> Candidate:
    return of_words(OLLAMA, prefill=True)


def anthropic(folder: Path) -> Candidate:
    return of_words(ANTHROPIC)


def of_words(api: Api, **options: Any) -> Candidate:
    """On a server of the tests, which has words instead of a model."""
    pytest.importorskip(api.library)
    servers = ExitStack()
    server = servers.enter_context(api.serve())
    settings = load_settings(env={}, instances=[{"name": "inst0", **api.table(server, **options)}])
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
