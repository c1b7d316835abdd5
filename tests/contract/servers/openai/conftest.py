"""Servers that speak OpenAI's protocol, and backends that ask them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from ledger.errors import BackendError
from tests.support import fake_openai
from tests.support.fake_openai import MODEL, Answer, FakeOpenAI
from tests.support.loaded import created, run_of
from workers.backends import Backend
from workers.backends.base import Say, unsaid

KEY = "sk-test-0123456789"

Serve = Callable[..., FakeOpenAI]
Start = Callable[..., tuple[FakeOpenAI, Backend]]
Over = Callable[..., Backend]
ErrorOf = Callable[..., BackendError]


@pytest.fixture(autouse=True)
def _own_berths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of these tests stays in the temporary folder."""
    monkeypatch.setattr("workers.backends.openai.berths._own_folder", lambda: tmp_path)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A server with these answers."""
    with ExitStack() as stack:
        yield lambda *answers, **facts: stack.enter_context(fake_openai.serving(*answers, **facts))


@pytest.fixture
def start(serve: Serve) -> Iterator[Start]:
    """A server with these answers, and the backend that asks it."""
    with ExitStack() as stack:

        def start(
            *answers: Answer, owner: str = "system", **table: Any
        ) -> tuple[FakeOpenAI, Backend]:
            server = serve(*answers, owner=owner, window=100)
            same = {"backend": "openai", "model": MODEL, "base_url": server.url}
            backend = created({**same, **table}, api_key=KEY)
            stack.callback(backend.close)
            backend.load()
            return server, backend

        yield start


@pytest.fixture
def over() -> Iterator[Over]:
    """``over(url, …)``: a backend ``vllm`` over these servers, loaded."""
    with ExitStack() as stack:

        def over(*urls: str, say: Say = unsaid, **table: Any) -> Backend:
            backend = created({"backend": "vllm", "endpoints": list(urls), **table})
            stack.callback(backend.close)
            backend.load(say)
            return backend

        yield over


@pytest.fixture
def error_of(start: Start) -> ErrorOf:
    """What a request ends with, after ``read`` pieces, where the server answers so."""

    def error_of(answer: Answer, *, read: int = 0) -> BackendError:
        _, backend = start(answer)
        pieces = backend.stream(run_of("hi"))
        assert len(list(islice(pieces, read))) == read
        with pytest.raises(BackendError) as raised:
            list(pieces)
        return raised.value

    return error_of
