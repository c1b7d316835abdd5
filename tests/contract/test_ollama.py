"""The backend ollama, on a server that speaks its protocol."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ledger.errors import (
    ApexError,
    BackendAuth,
    BackendError,
    ContextTooLong,
    InvalidRequest,
    InvalidSetting,
    ModelNotFound,
    RateLimited,
    to_record,
)
from ledger.tool_calls import put_together
from tests.support.fake_ollama import MODEL, WINDOW, FakeOllama, send_lines
from tests.support.fake_server import PATIENCE_S, Exchange
from tests.support.loaded import created, loaded, pieces_of, run_of, served, text_of
from tests.support.waiting import eventually
from tests.support.word_model import LONG, SHORT, SLOW
from workers.backends import Backend

pytest.importorskip("ollama")

CITY = {"type": "object", "properties": {"at": {"type": "object", "properties": {"city": {}}}}}
DETAILED = {"type": "image_url", "image_url": {"url": "data:image/png;base64,", "detail": "low"}}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": CITY}}


@pytest.fixture
def server() -> Iterator[FakeOllama]:
    with served(FakeOllama()) as server:
        yield server


def table(server: FakeOllama, **options: Any) -> dict[str, Any]:
    return {"backend": "ollama", "model": MODEL, "base_url": server.url, **options}


@pytest.fixture
def backend(server: FakeOllama) -> Iterator[Backend]:
    with loaded(table(server)) as backend:
        yield backend


def test_a_prompt_is_a_users_message_and_nothing_of_it_may_be_left_out(
    backend: Backend, server: FakeOllama
) -> None:
    pieces_of(backend, SHORT, 9, top_k=5, seed=7, stop=("END",))

    [body] = server.of("/api/chat")
    assert body["messages"] == [{"role": "user", "content": SHORT}]
    assert body["truncate"] is body["shift"] is False
    assert body["options"] == {
        "num_ctx": 4096,
        "num_predict": 9,
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 5,
        "seed": 7,
        "stop": ["END"],
    }


def test_the_instances_table_sets_the_models_options(server: FakeOllama) -> None:
    options = {"num_ctx": 1024, "keep_alive": "10m", "num_gpu": 0, "repeat_penalty": 1.1}

    with loaded(table(server, think=False, **options)) as backend:
        pieces_of(backend, SHORT, temperature=0)

        assert backend.abilities.window == 1024
    [body] = server.of("/api/chat")
    assert (body["keep_alive"], body["think"]) == ("10m", False)
    of_the_model = {name: body["options"][name] for name in ("num_ctx", "num_gpu", "temperature")}
    assert of_the_model == {"num_ctx": 1024, "num_gpu": 0, "temperature": 0}
    assert body["options"]["repeat_penalty"] == 1.1


def test_the_window_is_never_larger_than_the_models_own(backend: Backend) -> None:
    assert backend.abilities.window == WINDOW


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_ctxx": 1}, "the backend ollama has no option 'num_ctxx'; it has base_url"),
        ({"num_ctx": "much"}, "num_ctx: "),
        ({"api_key": 5}, "api_key: "),
        ({"model": None}, "ollama needs the name of a model"),
        ({"base_url": "localhost:11434"}, "takes a URL such as http://localhost:8000"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused(
    server: FakeOllama, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidSetting, match=said):
        created(table(server, **options))


def test_where_the_server_is_says_the_table_then_the_setting_then_ollama_host(
    server: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = {"backend": "ollama", "model": MODEL}
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")

    with loaded({**here, "base_url": server.url}, api_base="http://127.0.0.1:1"):
        pass
    with loaded(here, api_base=f"{server.url}/v1"):  # where its OpenAI-compatible API is
        pass
    monkeypatch.setenv("OLLAMA_HOST", server.url)
    with loaded(here):
        pass

    assert len(server.of("/api/show")) == 3


def test_a_key_goes_to_the_server_and_is_shown_to_nobody(server: FakeOllama) -> None:
    with loaded(table(server, api_key="secret-key")) as backend:
        server.script.append(lambda one: one.reply(401, {"error": "unauthorized"}))

        with pytest.raises(BackendAuth) as raised:
            pieces_of(backend, SHORT)

    assert server.asked[0].headers["authorization"] == "Bearer secret-key"
    assert "secret-key" not in f"{raised.value!r} {raised.value.facts} {vars(backend)}"


def test_the_servers_counts_are_the_answers(backend: Backend, server: FakeOllama) -> None:
    server.cached = 2

    pieces = pieces_of(backend, LONG, 7)
    by_itself = pieces_of(backend, SHORT)

    assert sum(piece.tokens for piece in pieces) == 7
    assert (pieces[-1].prompt_tokens, pieces[-1].cached_tokens) == (len(LONG.split()) + 3, 2)
    assert pieces[-1].finish_reason == "length"
    # The token that ended it is counted as the server counts it.
    assert [piece.tokens for piece in by_itself] == [1, 1, 1, 1]


def test_thoughts_are_told_apart_from_the_answer(backend: Backend) -> None:
    pieces = pieces_of(backend, f"think, then say {SHORT}")

    assert backend.abilities.reasoning
    assert "".join(piece.reasoning for piece in pieces) == "I see."
    assert text_of(pieces) == "Hello from Zürich."


def test_thoughts_without_probabilities_are_told_too(backend: Backend) -> None:
    pieces = pieces_of(backend, f"think, then say {SHORT}", logprobs=0)

    assert "".join(piece.reasoning for piece in pieces) == "I see."
    assert all(len(piece.logprobs) == piece.tokens for piece in pieces)


def test_calls_of_tools_come_in_openais_form(backend: Backend, server: FakeOllama) -> None:
    pieces = pieces_of(backend, "How is the weather?", tools=(WEATHER,))

    [call] = put_together(delta for piece in pieces for delta in piece.tool_calls)
    assert call["function"] == {
        "name": "weather",
        "arguments": '{"city": "Zürich", "days": [1, 2]}',
    }
    assert call["id"].startswith("call_")
    assert pieces[-1].finish_reason == "tool_calls"
    assert sum(piece.tokens for piece in pieces) == 12
    assert server.of("/api/chat")[0]["tools"] == [WEATHER]  # with what is nested in it


def test_a_conversation_with_tools_and_images_is_translated(
    backend: Backend, server: FakeOllama
) -> None:
    call = {"name": "weather", "arguments": '{"city": "Zürich"}'}
    url = "data:image/png;base64,/etc/hosts"
    image = {"type": "image_url", "image_url": {"url": url, "detail": "auto"}}
    messages = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "Look."}, image]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "function": call}]},
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
    ]

    pieces_of(backend, messages=messages)

    assert server.of("/api/chat")[0]["messages"] == [
        {"role": "system", "content": "Be short."},
        # Base64 that looks like a path is sent as it is; no file is read for it.
        {"role": "user", "content": "Look.", "images": ["/etc/hosts"]},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"function": {"name": "weather", "arguments": {"city": "Zürich"}}, "id": "c1"}
            ],
        },
        {"role": "tool", "content": "rain", "tool_name": "weather", "tool_call_id": "c1"},
    ]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            {"content": [{"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}]},
            "ollama fetches no image",
        ),
        ({"content": [DETAILED]}, "ollama has no detail of an image"),
        ({"content": "Hi", "name": "Ann"}, "ollama has no name of who speaks"),
        (
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"function": {"name": "f", "arguments": "{"}}],
            },
            "the arguments of the call of 'f' are no JSON object",
        ),
    ],
)
def test_a_message_that_it_has_no_form_for_is_refused_before_it_is_sent(
    backend: Backend, server: FakeOllama, message: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said):
        pieces_of(backend, messages=[{"role": "user", **message}])
    assert server.of("/api/chat") == []


@pytest.mark.parametrize(
    ("wanted", "sent"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, "json"),
        ({"type": "json_schema", "json_schema": {"schema": CITY}}, CITY),
    ],
)
def test_a_response_format_is_ollamas_format(
    backend: Backend, server: FakeOllama, wanted: dict[str, Any], sent: Any
) -> None:
    pieces_of(backend, SHORT, response_format=wanted)

    assert server.of("/api/chat")[0].get("format") == sent


def test_another_response_format_is_refused(backend: Backend) -> None:
    with pytest.raises(InvalidRequest, match="response_format: ollama takes"):
        pieces_of(backend, SHORT, response_format={"type": "grammar", "grammar": "x"})


def test_what_the_model_cannot_the_backend_lacks(server: FakeOllama) -> None:
    server.capabilities = ("completion",)

    with loaded(table(server)) as backend:
        abilities = backend.abilities

    assert not abilities.images
    assert not abilities.reasoning
    assert "tools" not in abilities.options


def test_a_raw_prompt_goes_in_as_it_is_and_is_gone_on_from(server: FakeOllama) -> None:
    prompt = f"{LONG}\nAnswer:"
    with loaded(table(server, raw=True)) as backend:
        whole = pieces_of(backend, prompt, 9)
        after = pieces_of(backend, prompt, 5, text_of(whole[:4]))

        assert (backend.abilities.continues, backend.abilities.chat) == (True, False)
    assert text_of(whole[:4]) + text_of(after) == text_of(whole)
    first, second = server.of("/api/generate")
    assert (first["raw"], first["prompt"]) == (True, prompt)
    assert second["prompt"] == prompt + text_of(whole[:4])


def test_with_prefill_an_answer_is_gone_on_from_in_a_last_message(server: FakeOllama) -> None:
    with loaded(table(server, prefill=True)) as backend:
        whole = pieces_of(backend, LONG, 9)
        after = pieces_of(backend, LONG, 5, text_of(whole[:4]))

        assert backend.abilities.continues
    assert text_of(whole[:4]) + text_of(after) == text_of(whole)
    assert after[-1].prompt_tokens is None  # what the server counts has the beginning too
    last = server.of("/api/chat")[-1]["messages"][-1]
    assert last == {"role": "assistant", "content": text_of(whole[:4])}


def test_without_it_no_answer_is_gone_on_from(backend: Backend) -> None:
    assert not backend.abilities.continues


def test_a_model_that_is_not_there_keeps_the_instance_from_starting(server: FakeOllama) -> None:
    backend = created(table(server, model="qwen2.5:1.5b"))

    with pytest.raises(ModelNotFound, match=r"run `ollama pull qwen2\.5:1\.5b`, or set pull"):
        backend.load()


def test_with_pull_it_is_downloaded_with_a_word_on_how_far_it_is(server: FakeOllama) -> None:
    said: list[str] = []
    backend = created(table(server, model="qwen2.5:1.5b", pull=True))

    backend.load(said.append)

    assert text_of(pieces_of(backend, SHORT)) == "Hello from Zürich."
    backend.close()
    assert said[0] == "qwen2.5:1.5b: pulling manifest"
    assert "qwen2.5:1.5b: pulling 74701a8c35f6: 25 % of 2.00 GB" in said


def test_a_download_that_fails_says_why(server: FakeOllama) -> None:
    lines = [{"status": "pulling manifest"}, {"error": "pull model manifest: file does not exist"}]
    server.script.append(lambda one: send_lines(one, lines))
    backend = created(table(server, model="nothing:1b", pull=True))

    with pytest.raises(ModelNotFound, match="file does not exist"):
        backend.load()


@pytest.mark.parametrize(
    ("status", "words", "headers", "kind", "facts"),
    [
        (400, "the input length exceeds the context length", {}, ContextTooLong, {}),
        (400, "invalid duration", {}, BackendError, {"retriable": False}),
        (401, "unauthorized", {}, BackendAuth, {"retriable": False}),
        (404, "model 'tiny:1b' not found", {}, ModelNotFound, {"model": MODEL}),
        (429, "too many requests", {"retry-after": "7"}, RateLimited, {"retry_after_s": 7.0}),
        (503, "server busy, please try again", {}, RateLimited, {"retry_after_s": 5.0}),
        (500, "llama runner process has terminated", {}, BackendError, {"retriable": True}),
        (502, "<html>Bad Gateway</html>", {}, BackendError, {"retriable": True}),
    ],
)
def test_errors_are_told_apart_in_the_servers_words(
    backend: Backend,
    server: FakeOllama,
    status: int,
    words: str,
    headers: dict[str, str],
    kind: type[ApexError],
    facts: dict[str, Any],
) -> None:
    body = words if words.startswith("<") else {"error": words}
    server.script.append(lambda one: one.reply(status, body, headers))

    with pytest.raises(BackendError) as raised:
        pieces_of(backend, SHORT)

    assert type(raised.value) is kind
    assert words in raised.value.message
    assert raised.value.facts.items() >= {"backend": "ollama", "said": words, **facts}.items()
    assert text_of(pieces_of(backend, SHORT)) == "Hello from Zürich."


def test_an_error_without_words_is_told_by_its_status(backend: Backend, server: FakeOllama) -> None:
    server.script.append(lambda one: one.reply(502, ""))

    with pytest.raises(BackendError, match=r"failed \(status 502\)"):
        pieces_of(backend, SHORT)


@pytest.mark.parametrize(
    ("line", "kind", "retriable"),
    [
        ({"error": "an error was encountered while running the model"}, BackendError, True),
        (
            {"error": "request (5000 tokens) exceeds the available context size", "status": 400},
            ContextTooLong,
            False,
        ),
    ],
)
def test_an_error_in_the_midst_of_an_answer_ends_it(
    backend: Backend, server: FakeOllama, line: dict[str, Any], kind: type, retriable: bool
) -> None:
    word = {"message": {"role": "assistant", "content": "Once"}, "done": False}
    server.script.append(lambda one: send_lines(one, [word, line]))
    pieces = backend.stream(run_of(LONG))

    assert next(pieces).text == "Once"
    with pytest.raises(kind) as raised:
        next(pieces)

    assert raised.value.said == line["error"]
    assert raised.value.retriable is retriable


def cut_in_the_midst(one: Exchange) -> None:
    one.begin("application/x-ndjson")
    one.send(b'{"message": {"role": "assistant", "content": "Once"}, "done": false}\n{"mess')
    one.cut()


def without_an_end(one: Exchange) -> None:
    send_lines(one, [{"message": {"role": "assistant", "content": "Once"}, "done": False}])


def not_json(one: Exchange) -> None:
    one.reply(200, "<html>Sign in</html>")


@pytest.mark.parametrize("answer", [cut_in_the_midst, without_an_end, not_json])
def test_an_answer_that_breaks_off_may_be_tried_again(
    backend: Backend, server: FakeOllama, answer: Any
) -> None:
    server.script.append(answer)

    with pytest.raises(BackendError) as raised:
        pieces_of(backend, LONG)

    assert raised.value.retriable
    assert text_of(pieces_of(backend, SHORT)) == "Hello from Zürich."


def test_a_server_that_does_not_come_is_named(server: FakeOllama) -> None:
    backend = created(table(server), load_timeout_s=0.01)
    server.close()

    with pytest.raises(BackendError, match=f"Ollama at {server.url} does not answer") as raised:
        backend.load()
    assert raised.value.retriable


def test_a_server_that_comes_later_is_waited_for(server: FakeOllama) -> None:
    # Given
    backend = created(table(server))
    port = int(server.url.rpartition(":")[2])
    server.close()
    came: list[FakeOllama] = []

    def start(said: str) -> None:
        assert said.startswith("waiting for the server: ")
        if not came:
            came.append(FakeOllama(port))

    # When
    backend.load(start)
    # Then
    assert backend.health() == ""
    backend.close()
    came[0].close()


def test_a_connection_serves_one_answer_after_the_other(
    backend: Backend, server: FakeOllama
) -> None:
    for _ in range(5):
        pieces = backend.stream(run_of(SHORT))
        while next(pieces).finish_reason is None:
            pass
        pieces.close()  # type: ignore[attr-defined]  # what the runner does with it

    assert len(server.connections) == 1


def test_its_health_is_the_servers(server: FakeOllama) -> None:
    with loaded(table(server)) as backend:
        assert backend.health() == ""
        server.close()
        assert "does not answer" in backend.health()
    assert backend.health() == "The model is not loaded."


def test_a_page_of_a_proxy_in_the_servers_place_is_no_health(server: FakeOllama) -> None:
    with loaded(table(server)) as backend:
        server.broken = True

        assert "failed (<html>Bad Gateway</html>)" in backend.health()


def test_a_text_has_every_character_that_was_sent(backend: Backend, server: FakeOllama) -> None:
    text = "one\x85two\u2028three\u2029four\x1efive"
    line = {"message": {"role": "assistant", "content": text}, "done": False}
    server.script.append(lambda one: send_lines(one, [line, {"done": True, "eval_count": 9}]))

    assert text_of(pieces_of(backend, SHORT)) == text


def test_probabilities_come_with_their_tokens(backend: Backend) -> None:
    pieces = pieces_of(backend, LONG, 4, logprobs=3)

    probable = [one for piece in pieces for one in piece.logprobs]
    assert "".join(one.text for one in probable) == text_of(pieces)
    assert [len(one.top) for one in probable] == [3, 3, 3, 3]


def test_a_stop_before_the_first_byte_leaves_the_server(
    backend: Backend, server: FakeOllama
) -> None:
    run = run_of(SLOW)
    reader = threading.Thread(target=lambda: list(backend.stream(run)))
    reader.start()
    eventually(lambda: server.of("/api/chat"))

    run.stop.set()

    assert server.left.wait(PATIENCE_S)
    reader.join(PATIENCE_S)
    assert not reader.is_alive()


def test_a_stop_while_it_waits_for_the_next_token_leaves_the_server(
    backend: Backend, server: FakeOllama
) -> None:
    def one_word(one: Exchange) -> None:
        one.begin("application/x-ndjson")
        one.send(b'{"message": {"role": "assistant", "content": "Once"}, "done": false}\n')
        one.wait_until_left()

    server.script.append(one_word)
    run = run_of(LONG)
    pieces = backend.stream(run)
    assert next(pieces).text == "Once"

    run.stop.set()

    assert list(pieces) == []
    assert server.left.wait(PATIENCE_S)


def test_an_iterator_that_is_closed_leaves_the_server(backend: Backend, server: FakeOllama) -> None:
    def endless(one: Exchange) -> None:
        one.begin("application/x-ndjson")
        while True:
            one.send(b'{"message": {"role": "assistant", "content": "a"}, "done": false}\n')
            one.check()

    server.script.append(endless)
    pieces = backend.stream(run_of(LONG, 1_000_000))
    assert len(list(itertools.islice(pieces, 3))) == 3

    pieces.close()  # type: ignore[attr-defined]  # what the runner does with it

    assert server.left.wait(PATIENCE_S)


def test_the_key_of_the_environment_is_in_no_message(
    server: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "secret-key\n")
    with loaded(table(server)) as backend:
        server.script.append(lambda one: one.reply(401, {"error": "bad key secret-key"}))

        with pytest.raises(BackendAuth) as raised:
            pieces_of(backend, SHORT)

    assert raised.value.said == "bad key ***"
    assert server.asked[-1].headers["authorization"] == "Bearer secret-key"


def test_a_key_of_the_environment_that_cannot_be_sent_is_refused_and_not_shown(
    server: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "sk-\nhidden")

    with pytest.raises(BackendAuth, match="check OLLAMA_API_KEY") as raised:
        created(table(server)).load()

    assert "hidden" not in str(to_record(raised.value))
