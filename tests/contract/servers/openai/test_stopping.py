"""To stop an answer closes its connection at once, and by that the work in the server."""

from __future__ import annotations

import itertools
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openai")

from ledger.errors import BackendError
from tests.support import fake_openai, llama_server, tiny_gguf
from tests.support.fake_openai import Answer, falls_silent_after, never_answers
from tests.support.loaded import loaded, run_of
from tests.support.waiting import eventually

SOON_S = 5.0  # far longer than it takes, far shorter than the server would wait


def at(url: str, **table: Any) -> dict[str, Any]:
    return {"backend": "openai", "base_url": url, **table}


@pytest.mark.parametrize(
    "answer", [never_answers, falls_silent_after()], ids=["no headers", "headers and no token"]
)
def test_a_stop_before_the_first_token_hangs_up(answer: Answer) -> None:
    with fake_openai.serving(answer) as server, loaded(at(server.url)) as backend:
        # Given a reader that waits
        wanted = run_of("hello there")
        reader = threading.Thread(target=lambda: list(backend.stream(wanted)), daemon=True)
        reader.start()
        eventually(lambda: server.bodies)
        # When
        wanted.stop.set()
        # Then
        assert server.left.wait(SOON_S)
        reader.join(SOON_S)
        assert not reader.is_alive()


def test_a_stop_before_the_start_asks_nobody() -> None:
    with fake_openai.serving(never_answers) as server, loaded(at(server.url)) as backend:
        unwanted = run_of("hello there")
        unwanted.stop.set()

        with closing(backend.stream(unwanted)) as pieces:  # type: ignore[type-var]
            assert list(pieces) == []

        assert server.bodies == []


def test_a_stop_in_the_midst_hangs_up() -> None:
    with (
        fake_openai.serving(falls_silent_after("a", "b")) as server,
        loaded(at(server.url)) as backend,
    ):
        wanted = run_of("hello there")
        pieces = backend.stream(wanted)
        assert [piece.text for piece in itertools.islice(pieces, 2)] == ["a", "b"]

        threading.Timer(0, wanted.stop.set).start()

        assert list(pieces) == []
        assert server.left.wait(SOON_S)


def test_closing_the_iterator_hangs_up() -> None:
    with fake_openai.serving(falls_silent_after("a")) as server, loaded(at(server.url)) as backend:
        pieces = backend.stream(run_of("hello there"))
        next(pieces)

        pieces.close()  # type: ignore[attr-defined]  # what the runner does with it

        assert server.left.wait(SOON_S)


def test_closing_the_backend_hangs_up() -> None:
    with fake_openai.serving(falls_silent_after("a")) as server, loaded(at(server.url)) as backend:
        next(backend.stream(run_of("hello there")))

        backend.close()

        assert server.left.wait(SOON_S)


def test_an_endpoint_that_is_silent_for_too_long_is_lost() -> None:
    with (
        fake_openai.serving(falls_silent_after("a")) as server,
        loaded(at(server.url, silence_s=0.05)) as backend,
        pytest.raises(BackendError, match=f"{server.url} was lost") as raised,
    ):
        list(backend.stream(run_of("hello there")))

    assert raised.value.retriable


def test_a_real_servers_slot_is_free_as_soon_as_an_answer_is_stopped(tmp_path: Path) -> None:
    # Given a server that works on one request at a time, with one that takes long
    pytest.importorskip("llama_cpp.server.app")

    model = tiny_gguf.write(tmp_path / "tiny.gguf", plain=True)
    with (
        llama_server.serving(model, tmp_path) as [server],
        loaded(at(server.url, api="completions")) as backend,
    ):
        started = time.monotonic()
        made = sum(
            piece.tokens for piece in backend.stream(run_of("hello there", 1500, temperature=0))
        )
        whole_s = time.monotonic() - started
        wanted = run_of("hello there", 1500, temperature=0)
        pieces = backend.stream(wanted)
        next(pieces)
        # When
        stopped = time.monotonic()
        wanted.stop.set()
        list(pieces)
        # Then the next one does not wait for it
        next(backend.stream(run_of("hello there", 2, temperature=0)))
        assert made == 1500
        assert time.monotonic() - stopped < whole_s / 4
