"""Several servers behind one instance: choice, failover, and servers that come back."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openai")

from ledger.errors import BackendAuth, BackendError, RateLimited
from ledger.messages import Request, parse_request
from ledger.settings import load_settings
from tests.support import fake_openai, tiny_gguf
from tests.support.fake_openai import (
    Answer,
    FakeOpenAI,
    InTurn,
    answers_with,
    breaks_off_after,
    chunk,
    refuses,
    says,
)
from tests.support.llama_server import free_port
from tests.support.waiting import eventually
from workers import backends
from workers.backends import Backend, Piece, Run
from workers.backends.base import Say, unsaid
from workers.backends.openai.berths import Berths
from workers.backends.openai.breaker import Breaker

Serve = Callable[..., FakeOpenAI]
Make = Callable[..., Backend]


@pytest.fixture(autouse=True)
def _own_berths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of these tests stays in the temporary folder."""
    monkeypatch.setattr("workers.backends.openai.berths._own_folder", lambda: tmp_path)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Servers with these answers."""
    with ExitStack() as stack:
        yield lambda *answers, **facts: stack.enter_context(fake_openai.serving(*answers, **facts))


@pytest.fixture
def make() -> Iterator[Make]:
    """A loaded backend ``vllm`` on these servers."""
    with ExitStack() as stack:

        def make(*urls: str, say: Say = unsaid, **table: Any) -> Backend:
            spec = {"name": "inst0", "backend": "vllm", "endpoints": list(urls), **table}
            settings = load_settings(env={}, instances=[spec])
            backend = backends.create(settings.instances[0], settings)
            stack.callback(backend.close)
            backend.load(say)
            return backend

        yield make


def ask(prompt: str = "Say hi", **options: Any) -> Request:
    return parse_request(prompt=prompt, agent_id="a", **options)


def answer_of(backend: Backend, request: Request | None = None, **run: Any) -> list[Piece]:
    return list(backend.stream(Run(request or ask(), **{"max_tokens": 50, **run})))


def text_of(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


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
    serve: Serve, make: Make, trouble: Answer
) -> None:
    troubled, well = serve(trouble), serve(answers_with("Hello"))
    backend = make(troubled.url, well.url)

    texts = [text_of(answer_of(backend)) for _ in range(4)]

    assert texts == ["Hello"] * 4
    assert len(well.bodies) == 4


def test_a_server_that_is_not_there_is_passed_over(serve: Serve, make: Make) -> None:
    well = serve(answers_with("Hello"))
    backend = make(f"http://127.0.0.1:{free_port()}/v1", well.url)

    assert text_of(answer_of(backend)) == "Hello"
    assert backend.health() == ""


def test_an_error_that_is_final_is_not_asked_for_twice(serve: Serve, make: Make) -> None:
    servers = [serve(refuses(401, "Unauthorized")) for _ in range(2)]
    backend = make(*(server.url for server in servers))

    with pytest.raises(BackendAuth):
        answer_of(backend)

    assert sum(len(server.bodies) for server in servers) == 1


def test_when_all_fail_the_last_error_is_told(serve: Serve, make: Make) -> None:
    servers = [serve(refuses(429, "Slow down.", headers={"retry-after": "9"})) for _ in range(2)]
    backend = make(*(server.url for server in servers))

    with pytest.raises(RateLimited) as raised:
        answer_of(backend)

    assert raised.value.retry_after_s == 9
    assert [len(server.bodies) for server in servers] == [1, 1]


@pytest.mark.parametrize("trouble", [refuses(500, "CUDA error"), breaks_off_after("one")])
def test_a_request_that_fails_at_one_spends_an_attempt_where_the_other_is_away(
    serve: Serve, make: Make, trouble: Answer
) -> None:
    troubled = serve(trouble, owner="vllm")
    backend = make(troubled.url, f"http://127.0.0.1:{free_port()}/v1")

    for _ in range(3):  # in either order, and the one that is away comes last in the end
        with pytest.raises(BackendError) as raised:
            answer_of(backend)
        assert type(raised.value) is BackendError


def test_an_answer_that_breaks_off_goes_on_at_another_endpoint(serve: Serve, make: Make) -> None:
    # Given
    turns = InTurn(
        breaks_off_after("one", " two"), answers_with(" three", " four", prompt=99, cached=98)
    )
    backend = make(*(serve(turns, owner="vllm").url for _ in range(2)))
    # When
    pieces = answer_of(backend, max_tokens=9)
    # Then
    assert text_of(pieces) == "one two three four"
    assert sum(piece.tokens for piece in pieces) == 4
    assert pieces[-1].finish_reason == "stop"
    broken, other = turns.servers
    assert broken is not other
    assert broken.bodies[0]["messages"] == [{"role": "user", "content": "Say hi"}]
    [sent] = other.bodies
    assert sent["prompt"] == [0, 1, 0, 1]  # what vLLM's tokenizer says of both
    assert sent["max_tokens"] == 7
    assert "messages" not in sent
    # What the second one counts as its prompt has a part of the answer in it
    assert not any(piece.prompt_tokens or piece.cached_tokens for piece in pieces)


WORDS = {100: "a", 101: " b", 102: " c", 103: " d", 104: "\N{OCTOPUS}"}


def tells(*tokens: int, text: str | None = None, done: bool = False) -> Answer:
    """An answer of which vLLM tells the tokens; with ``text`` they come in one chunk."""
    begin = {**chunk({"role": "assistant", "content": ""}), "prompt_token_ids": [1, 2, 3]}
    parts = [([one], WORDS[one]) for one in tokens] if text is None else [(list(tokens), text)]
    events = [chunk({"content": word}, token_ids=ids) for ids, word in parts]
    return says(begin, *events, *([chunk({}, finish="stop")] if done else []), done=done)


def test_it_goes_on_from_exactly_the_tokens_that_were_made(serve: Serve, make: Make) -> None:
    # Given three servers of which one after another breaks off, one of them having said nothing
    turns = InTurn(tells(100, 101), breaks_off_after(), tells(102), tells(103, done=True))
    servers = [serve(turns, owner="vllm") for _ in range(3)]
    for server in servers:
        server.words = WORDS
    backend = make(*(server.url for server in servers))
    # When
    pieces = answer_of(backend)
    # Then
    assert text_of(pieces) == "a b c d"
    sent = [body for server in servers for body in server.bodies]
    prompts = sorted((body["prompt"] for body in sent if "prompt" in body), key=len)
    assert prompts == [[1, 2, 3, 100, 101], [1, 2, 3, 100, 101], [1, 2, 3, 100, 101, 102]]
    assert all(body["return_token_ids"] for body in sent)


def test_it_goes_on_from_the_text_where_that_is_less_than_its_tokens(
    serve: Serve, make: Make
) -> None:
    # Given a server that has held back the text of its last token
    turns = InTurn(tells(100, 101, 104, text="a b"), answers_with(" c"))
    servers = [serve(turns, owner="vllm") for _ in range(2)]
    for server in servers:
        server.words = WORDS
    # When
    pieces = answer_of(make(*(server.url for server in servers)))
    # Then
    assert text_of(pieces) == "a b c"
    assert turns.servers[1].bodies[0]["prompt"] == [0, 1, 0, 1]  # as its tokenizer says


def test_where_tools_may_be_called_an_answer_goes_on_as_a_message(serve: Serve, make: Make) -> None:
    turns = InTurn(breaks_off_after("one", " two"), answers_with(" three"))
    backend = make(*(serve(turns, owner="vllm").url for _ in range(2)))

    pieces = answer_of(backend, ask(tools=[{"type": "function", "function": {"name": "f"}}]))

    assert text_of(pieces) == "one two three"
    [sent] = turns.servers[1].bodies
    assert sent["messages"][-1] == {"role": "assistant", "content": "one two"}
    assert sent["continue_final_message"] is True
    assert sent["add_generation_prompt"] is False


@pytest.mark.parametrize(
    ("begins", "options"),
    [
        (says(chunk({"reasoning": "Hm."}), done=False), {}),
        (
            says(chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}), done=False),
            {},
        ),
        (breaks_off_after("{"), {"response_format": {"type": "json_object"}}),
    ],
    ids=["reasoning", "tool call", "grammar"],
)
def test_what_cannot_go_on_from_its_text_is_left_to_another_attempt(
    serve: Serve, make: Make, begins: Answer, options: dict[str, Any]
) -> None:
    # Given
    turns = InTurn(begins, answers_with("anew"))
    backend = make(*(serve(turns, owner="vllm").url for _ in range(2)))
    # When
    pieces = backend.stream(Run(ask(**options), 50))
    with pytest.raises(BackendError) as raised:
        list(pieces)
    # Then the attempt after that goes to the other one
    assert raised.value.retriable
    assert text_of(answer_of(backend)) == "anew"
    assert turns.servers[0] is not turns.servers[1]


def test_a_model_may_be_said_not_to_go_on_from_its_text(serve: Serve, make: Make) -> None:
    turns = InTurn(breaks_off_after("one"), answers_with("anew"))
    urls = [serve(turns, owner="vllm").url for _ in range(2)]
    backend = make(*urls, continues=False)

    assert backend.abilities.continues is False
    with pytest.raises(BackendError):
        answer_of(backend)


def test_an_answer_is_given_up_when_every_endpoint_breaks_it_off(serve: Serve, make: Make) -> None:
    # Given servers that both say one word and break off, until the second word is there
    turns = InTurn(
        breaks_off_after("one"),
        breaks_off_after(" two"),
        breaks_off_after(),
        breaks_off_after(),
    )
    backend = make(*(serve(turns, owner="vllm").url for _ in range(2)))
    # When
    pieces = backend.stream(Run(ask(), 50))
    texts = [next(pieces).text, next(pieces).text]
    # Then
    assert texts == ["one", " two"]
    with pytest.raises(BackendError, match="was lost"):
        next(pieces)


def test_where_nobody_listens_each_attempt_comes_later_than_the_one_before(
    serve: Serve, make: Make
) -> None:
    with fake_openai.serving(answers_with("a")) as server:
        backend = make(server.url)
    waits = []
    for attempt in (1, 2, 3):
        with pytest.raises(BackendError) as raised:
            answer_of(backend, attempt=attempt)
        waits.append(raised.value.retry_after_s)

    assert waits == [5, 30, 60]


def test_a_session_goes_to_the_same_endpoint_again(serve: Serve, make: Make) -> None:
    servers = [serve(answers_with("a")) for _ in range(3)]
    backend = make(*(server.url for server in servers))

    for number in range(30):
        answer_of(backend, ask(session_id=f"s{number % 10}", prompt=f"s{number % 10}"))

    homes = [{body["messages"][0]["content"] for body in server.bodies} for server in servers]
    assert [len(server.bodies) for server in servers] == [3 * len(home) for home in homes]
    assert sum(len(home) for home in homes) == 10
    assert all(homes)


def test_the_least_busy_endpoint_is_taken(serve: Serve, make: Make) -> None:
    # Given two servers, and four answers of which each is begun and not ended
    silent = fake_openai.falls_silent_after("a")
    servers = [serve(silent), serve(silent)]
    backend = make(*(server.url for server in servers))
    # When
    streams = [backend.stream(Run(ask(), 50)) for _ in range(4)]
    for pieces in streams:
        next(pieces)
    # Then
    assert [len(server.bodies) for server in servers] == [2, 2]
    for pieces in streams:
        pieces.close()  # type: ignore[attr-defined]


def test_an_endpoint_gets_no_more_than_its_most_at_once(serve: Serve, make: Make) -> None:
    # Given
    first, second = (serve(fake_openai.falls_silent_after("a")) for _ in range(2))
    backend = make(first.url, second.url, max_concurrent=1)
    streams = [backend.stream(Run(ask(), 50)) for _ in range(2)]
    for pieces in streams:
        next(pieces)
    # When a third one waits, and is stopped meanwhile
    waiting = Run(ask(), 50)
    waiting.stop.set()
    assert list(backend.stream(waiting)) == []
    third = backend.stream(Run(ask(), 50))
    streams[0].close()  # type: ignore[attr-defined]
    # Then it has the place of the first one
    assert next(third).text == "a"
    assert sorted([len(first.bodies), len(second.bodies)]) == [1, 2]
    third.close()  # type: ignore[attr-defined]
    streams[1].close()  # type: ignore[attr-defined]


HOLDS_ONE = """
import sys
from pathlib import Path
from workers.backends.openai.berths import Berths
berths = Berths(sys.argv[1], None, Path(sys.argv[2]))
print(berths.take(0), flush=True)
sys.stdin.read()
"""


def test_berths_are_shared_by_processes_and_free_when_one_is_killed(tmp_path: Path) -> None:
    # Given another process that has the first berth
    url = "http://localhost:8001/v1"
    command = [sys.executable, "-c", HOLDS_ONE, url, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        berths = Berths(url, None, tmp_path)
        assert not berths.take(0)
        assert berths.take(1)
        # When
        other.kill()
        other.wait(10)
        # Then
        assert berths.take(0)
        berths.close()


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
    serve: Serve, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an endpoint that is left out
    monkeypatch.setattr("workers.backends.openai.breaker.FIRST_PAUSE_S", 0.05)
    lost, other = serve(breaks_off_after(), answers_with("a")), serve(answers_with("a"))
    backend = make(lost.url, other.url)
    lost.well = False
    eventually(lambda: answer_of(backend) and lost.bodies)
    asked = len(lost.bodies)
    assert [text_of(answer_of(backend)) for _ in range(5)] == ["a"] * 5
    assert len(lost.bodies) == asked
    # When
    lost.well = True
    # Then
    assert eventually(lambda: answer_of(backend) and len(lost.bodies) > asked)


def test_a_page_of_a_proxy_in_a_probes_place_is_no_answer_and_not_the_last_probe(
    serve: Serve, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an endpoint that is left out, before which a proxy says that it is being mended
    monkeypatch.setattr("workers.backends.openai.breaker.FIRST_PAUSE_S", 0.05)
    lost, other = serve(breaks_off_after(), answers_with("a")), serve(answers_with("a"))
    backend = make(lost.url, other.url)
    lost.page = "<html>Back soon</html>"
    eventually(lambda: answer_of(backend) and lost.bodies)
    eventually(lambda: lost.pages > 0)
    asked = len(lost.bodies)
    # When
    lost.page = ""
    # Then
    assert eventually(lambda: answer_of(backend) and len(lost.bodies) > asked)


def test_a_server_behind_a_proxys_page_is_waited_for(serve: Serve, make: Make) -> None:
    server = serve(answers_with("Hello"))
    server.page = "<html>Back soon</html>"

    def comes(said: str) -> None:
        assert "no list of models" in said
        server.page = ""

    backend = make(server.url, say=comes)

    assert text_of(answer_of(backend)) == "Hello"


def test_a_key_that_is_not_accepted_is_told_at_once_also_where_another_endpoint_is_away(
    serve: Serve, make: Make
) -> None:
    server = serve(answers_with("Hello"))
    server.locked = True

    with pytest.raises(BackendAuth, match="Incorrect API key provided"):
        make(f"http://127.0.0.1:{free_port()}/v1", server.url)


def test_health_names_each_endpoint_when_none_answers(serve: Serve, make: Make) -> None:
    first, second = serve(answers_with("a")), serve(answers_with("a"))
    backend = make(first.url, second.url)
    assert backend.health() == ""

    first.well = False
    one_down = backend.health()
    second.well = False

    assert one_down == ""
    assert first.url in backend.health()
    assert second.url in backend.health()
    assert "Loading model" in backend.health()


def test_failover_between_real_servers_leaves_no_trace_in_a_greedy_answer(
    make: Make, tmp_path: Path
) -> None:
    pytest.importorskip("llama_cpp.server.app")
    from tests.support import llama_server

    # Given two servers of one model
    model = tiny_gguf.write(tmp_path / "tiny.gguf", plain=True)
    with llama_server.serving(model, tmp_path, 2) as servers:
        backend = make(
            *(server.url for server in servers),
            api="completions",
            extra_body={"repeat_penalty": 1.0},
        )
        story = ask("a long story", temperature=0, session_id="s1")
        undisturbed = answer_of(backend, story, max_tokens=400)
        # When the one that answers is killed in the midst of it
        pieces = backend.stream(Run(story, 400))
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
        assert text_of(answer_of(backend, story, max_tokens=400)) == text_of(undisturbed)
