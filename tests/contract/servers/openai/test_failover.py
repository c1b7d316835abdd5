"""Where one server fails, another one answers."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

pytest.importorskip("openai")

from ledger.errors import BackendAuth, BackendError, RateLimited
from tests.contract.servers.openai.conftest import Over, Serve
from tests.support import fake_openai, llama_server, tiny_gguf
from tests.support.fake_openai import Answer, answers_with, breaks_off_after, refuses
from tests.support.loaded import pieces_of, request_of, run_of, text_of
from tests.support.servers import free_port
from workers.backends import Run


@pytest.mark.parametrize(
    "trouble",
    [
        refuses(500, "The server had an error."),
        refuses(503, "Loading model"),
        refuses(429, "Slow down."),
        breaks_off_after(),
    ],
    ids=["500", "503", "429", "cut"],
)
def test_another_endpoint_answers_where_one_fails(
    serve: Serve, over: Over, trouble: Answer
) -> None:
    troubled, well = serve(trouble), serve(answers_with("Hello"))
    backend = over(troubled.url, well.url)

    texts = [text_of(pieces_of(backend, "Say hi")) for _ in range(4)]

    assert texts == ["Hello"] * 4
    assert len(well.bodies) == 4


def test_a_server_that_is_not_there_is_passed_over(serve: Serve, over: Over) -> None:
    well = serve(answers_with("Hello"))
    backend = over(f"http://127.0.0.1:{free_port()}/v1", well.url)

    assert text_of(pieces_of(backend, "Say hi")) == "Hello"
    assert backend.health() == ""


def test_an_error_that_is_final_is_not_asked_for_twice(serve: Serve, over: Over) -> None:
    servers = [serve(refuses(401, "Unauthorized")) for _ in range(2)]
    backend = over(*(server.url for server in servers))

    with pytest.raises(BackendAuth):
        pieces_of(backend, "Say hi")

    assert sum(len(server.bodies) for server in servers) == 1


def test_a_key_that_is_not_accepted_is_told_at_once_also_where_another_endpoint_is_away(
    serve: Serve, over: Over
) -> None:
    server = serve(answers_with("Hello"))
    server.locked = True

    with pytest.raises(BackendAuth, match="Incorrect API key provided"):
        over(f"http://127.0.0.1:{free_port()}/v1", server.url)


def test_when_all_take_no_requests_the_one_that_does_first_says_for_how_long(
    serve: Serve, over: Over
) -> None:
    waits = ["9", "60"]
    servers = [serve(refuses(429, "Slow down.", headers={"retry-after": one})) for one in waits]
    backend = over(*(server.url for server in servers))

    for asked in range(1, 7):  # in either order
        with pytest.raises(RateLimited) as raised:
            pieces_of(backend, "Say hi", session_id=f"s{asked}")
        assert raised.value.retry_after_s == 9
        assert [len(server.bodies) for server in servers] == [asked, asked]


@pytest.mark.parametrize("trouble", [refuses(500, "CUDA error"), breaks_off_after("one")])
def test_a_request_that_fails_at_one_spends_an_attempt_where_the_other_is_away(
    serve: Serve, over: Over, trouble: Answer
) -> None:
    troubled = serve(trouble, owner="vllm")
    backend = over(troubled.url, f"http://127.0.0.1:{free_port()}/v1")

    for _ in range(3):  # in either order, and the one that is away comes last in the end
        with pytest.raises(BackendError) as raised:
            pieces_of(backend, "Say hi")
        assert type(raised.value) is BackendError


def test_where_nobody_listens_each_attempt_comes_later_than_the_one_before(
    serve: Serve, over: Over
) -> None:
    with fake_openai.serving(answers_with("a")) as server:
        backend = over(server.url)
    waits = []
    for attempt in (1, 2, 3):
        with pytest.raises(BackendError) as raised:
            list(backend.stream(Run(request_of("Say hi"), 50, attempt=attempt)))
        waits.append(raised.value.retry_after_s)

    assert waits == [5, 30, 60]


def test_health_names_each_endpoint_when_none_answers(serve: Serve, over: Over) -> None:
    first, second = serve(answers_with("a")), serve(answers_with("a"))
    backend = over(first.url, second.url)
    assert backend.health() == ""

    first.well = False
    one_down = backend.health()
    second.well = False

    assert one_down == ""
    assert first.url in backend.health()
    assert second.url in backend.health()
    assert "Loading model" in backend.health()


def test_a_server_behind_a_proxys_page_is_waited_for(serve: Serve, over: Over) -> None:
    server = serve(answers_with("Hello"))
    server.page = "<html>Back soon</html>"

    def comes(said: str) -> None:
        assert "no list of models" in said
        server.page = ""

    backend = over(server.url, say=comes)

    assert text_of(pieces_of(backend, "Say hi")) == "Hello"


def test_failover_between_real_servers_leaves_no_trace_in_a_greedy_answer(
    over: Over, tmp_path: Path
) -> None:
    pytest.importorskip("llama_cpp.server.app")
    # Given two servers of one model
    model = tiny_gguf.write(tmp_path / "tiny.gguf", plain=True)
    with llama_server.serving(model, tmp_path, 2) as servers:
        backend = over(
            *(server.url for server in servers),
            api="completions",
            extra_body={"repeat_penalty": 1.0},
        )
        story = run_of("a long story", 400, temperature=0, session_id="s1")
        undisturbed = list(backend.stream(story))
        # When the one that answers is killed in the midst of it
        pieces = backend.stream(story)
        seen = list(itertools.islice(pieces, 100))
        [home] = [server for server in servers if "POST /v1/completions" in server.log]
        home.kill()
        seen += pieces
        # Then the other one has gone on from there
        [other] = [server for server in servers if server is not home]
        assert "POST /v1/completions" in other.log
        assert text_of(seen) == text_of(undisturbed)
        assert sum(piece.tokens for piece in seen) == 400
        assert seen[-1].finish_reason == "length"
        # And the next ones are answered too
        assert text_of(list(backend.stream(story))) == text_of(undisturbed)
