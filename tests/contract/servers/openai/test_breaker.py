"""A server that fails is left out for a while, and comes back."""

from __future__ import annotations

import pytest

pytest.importorskip("openai")

from tests.contract.servers.openai.conftest import Over, Serve
from tests.support.fake_openai import answers_with, breaks_off_after
from tests.support.loaded import pieces_of, text_of
from tests.support.waiting import eventually
from workers.backends.openai.breaker import Breaker


def test_a_breaker_opens_at_once_where_nobody_answers() -> None:
    breaker = Breaker()

    assert breaker.failed(lost=True)
    assert not breaker.closed


def test_a_breaker_opens_at_the_third_error_in_a_row() -> None:
    breaker = Breaker()

    opened = [breaker.failed(lost=False) for _ in range(2)]
    breaker.succeeded()
    opened += [breaker.failed(lost=False) for _ in range(4)]

    assert opened == [False, False, False, False, True, False]


def test_a_breaker_waits_twice_as_long_after_each_probe_that_fails() -> None:
    breaker = Breaker()
    breaker.failed(lost=True)
    pauses = []
    for _ in range(7):
        pauses.append(breaker.pause_s)
        breaker.probe()
        assert breaker.state == "half_open"
        breaker.probe_failed()

    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    breaker.succeeded()
    assert (breaker.state, breaker.pause_s) == ("closed", 1)


def test_an_endpoint_that_was_lost_is_asked_again_once_a_probe_has_found_it(
    serve: Serve, over: Over, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an endpoint that is left out
    monkeypatch.setattr("workers.backends.openai.breaker.FIRST_PAUSE_S", 0.05)
    lost, other = serve(breaks_off_after(), answers_with("a")), serve(answers_with("a"))
    backend = over(lost.url, other.url)
    lost.well = False
    eventually(lambda: pieces_of(backend, "Say hi") and lost.bodies)
    asked = len(lost.bodies)
    assert [text_of(pieces_of(backend, "Say hi")) for _ in range(5)] == ["a"] * 5
    assert len(lost.bodies) == asked
    # When
    lost.well = True
    # Then
    assert eventually(lambda: pieces_of(backend, "Say hi") and len(lost.bodies) > asked)


def test_a_page_of_a_proxy_in_a_probes_place_is_no_answer_and_not_the_last_probe(
    serve: Serve, over: Over, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an endpoint that is left out, before which a proxy says that it is being mended
    monkeypatch.setattr("workers.backends.openai.breaker.FIRST_PAUSE_S", 0.05)
    lost, other = serve(breaks_off_after(), answers_with("a")), serve(answers_with("a"))
    backend = over(lost.url, other.url)
    lost.page = "<html>Back soon</html>"
    eventually(lambda: pieces_of(backend, "Say hi") and lost.bodies)
    eventually(lambda: lost.pages > 0)
    asked = len(lost.bodies)
    # When
    lost.page = ""
    # Then
    assert eventually(lambda: pieces_of(backend, "Say hi") and len(lost.bodies) > asked)
