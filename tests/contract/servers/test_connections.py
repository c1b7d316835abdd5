"""How a backend holds its connections to a server: it waits, shares, hangs up, and notices."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest

from ledger.errors import BackendAuth, BackendError
from tests.support.apis import ONCE, Api
from tests.support.fake_server import PATIENCE_S, Exchange, FakeServer
from tests.support.loaded import created, loaded, pieces_of, run_of, text_of
from tests.support.waiting import eventually
from tests.support.word_model import GREETING, LONG, SHORT, SLOW
from workers.backends import Backend


def cut_in_the_midst(api: Api, one: Exchange) -> None:
    api.begin(one)
    one.send(api.word[: len(api.word) // 2])
    one.cut()


def without_an_end(api: Api, one: Exchange) -> None:
    api.begin(one)
    one.send(api.word)
    one.end()


def nonsense(api: Api, one: Exchange) -> None:
    api.nonsense(one)


@pytest.mark.parametrize("answer", [cut_in_the_midst, without_an_end, nonsense])
def test_an_answer_that_breaks_off_may_be_tried_again(
    api: Api, backend: Backend, server: FakeServer, answer: Callable[[Api, Exchange], None]
) -> None:
    server.script.append(lambda one: answer(api, one))

    with pytest.raises(BackendError, match=api.broken) as raised:
        pieces_of(backend, LONG)

    assert raised.value.retriable
    assert text_of(pieces_of(backend, SHORT)) == GREETING


def test_an_answer_that_goes_on_with_what_is_none_may_be_tried_again(
    api: Api, backend: Backend, server: FakeServer
) -> None:
    server.script.append(api.stranger)
    pieces = backend.stream(run_of(LONG))
    assert next(pieces).text == ONCE

    with pytest.raises(BackendError, match="what it sent is no part of an answer") as raised:
        next(pieces)

    assert raised.value.retriable
    assert text_of(pieces_of(backend, SHORT)) == GREETING


def test_a_server_that_does_not_come_is_named(api: Api, server: FakeServer) -> None:
    backend = created(api.table(server), load_timeout_s=0.01)
    server.close()

    with pytest.raises(BackendError, match=api.away.format(url=server.url)) as raised:
        backend.load()
    assert raised.value.retriable


def test_a_server_that_comes_later_is_waited_for(api: Api, server: FakeServer) -> None:
    # Given
    backend = created(api.table(server))
    port = server.port
    server.close()
    came: list[FakeServer] = []

    def start(said: str) -> None:
        assert said.startswith("waiting for the server: ")
        if not came:
            came.append(api.serve(port))

    # When
    backend.load(start)
    # Then
    assert backend.health() == ""
    backend.close()
    came[0].close()


def test_an_empty_account_fails_jobs_and_not_the_instance(api: Api, server: Any) -> None:
    # Given
    server.unpaid = True
    with loaded(api.table(server)) as backend:
        with pytest.raises(BackendAuth, match="credit balance is too low") as raised:
            pieces_of(backend, SHORT)
        # When somebody has paid
        server.unpaid = False
        # Then
        assert raised.value.unpaid
        assert "see to its billing" in raised.value.message
        assert text_of(pieces_of(backend, SHORT)) == GREETING


def test_a_connection_serves_one_answer_after_the_other(
    backend: Backend, server: FakeServer
) -> None:
    for _ in range(5):
        pieces = backend.stream(run_of(SHORT))
        while next(pieces).finish_reason is None:
            pass
        pieces.close()  # type: ignore[attr-defined]  # what the runner does with it

    assert len(server.connections) == 1


def test_its_health_is_the_servers(api: Api, server: FakeServer) -> None:
    with loaded(api.table(server)) as backend:
        assert backend.health() == ""
        server.close()
        assert api.away.format(url=server.url) in backend.health()
    assert backend.health() == "The model is not loaded."


def test_a_stop_before_the_first_byte_leaves_the_server(
    api: Api, backend: Backend, server: FakeServer
) -> None:
    run = run_of(SLOW)
    reader = threading.Thread(target=lambda: list(backend.stream(run)))
    reader.start()
    eventually(lambda: server.of(api.path))

    run.stop.set()

    assert server.left.wait(PATIENCE_S)
    reader.join(PATIENCE_S)
    assert not reader.is_alive()


def test_a_stop_while_it_waits_for_the_next_token_leaves_the_server(
    api: Api, backend: Backend, server: FakeServer
) -> None:
    def one_word(one: Exchange) -> None:
        api.begin(one)
        one.wait_until_left()

    server.script.append(one_word)
    run = run_of(LONG)
    pieces = backend.stream(run)
    assert next(pieces).text == ONCE

    run.stop.set()

    assert list(pieces) == []
    assert server.left.wait(PATIENCE_S)


def test_an_iterator_that_is_closed_leaves_the_server(
    api: Api, backend: Backend, server: FakeServer
) -> None:
    def endless(one: Exchange) -> None:
        api.begin(one)
        while True:
            one.send(api.word)
            one.check()

    server.script.append(endless)
    pieces = backend.stream(run_of(LONG, 1_000_000))
    assert len(list(islice(pieces, 3))) == 3

    pieces.close()  # type: ignore[attr-defined]  # what the runner does with it

    assert server.left.wait(PATIENCE_S)
