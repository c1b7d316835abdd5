"""A local server that speaks OpenAI's protocol, for what a real one cannot be made to do.

Bodies and streams have the form of OpenAI's API reference and of vLLM's server. What it answers is
a list of answers, one per request; the last one is given again and again.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "fake-model"

Answer = Callable[["Handler"], None]


class FakeOpenAI(ThreadingHTTPServer):
    """The server, and what it was asked."""

    daemon_threads = True

    def __init__(
        self, *answers: Answer, owner: str = "system", window: int | None = None, port: int = 0
    ) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        self.answers = list(answers)
        self.model = {"id": MODEL, "object": "model", "created": 1, "owned_by": owner}
        if window is not None:
            self.model["max_model_len"] = window
        self.well = True  # whether it answers the question for its models
        self.locked = False  # whether it accepts no key there
        self.page = ""  # what it answers that with instead
        self.pages = 0  # times that it has
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.words: dict[int, str] = {}  # what tokens stand for
        self.tokenized = 0  # times that it was asked to count
        self.connections: list[socket.socket] = []
        self.asked, self.hung_up = threading.Event(), threading.Event()

    def get_request(self) -> tuple[socket.socket, Any]:
        """A new connection."""
        connection, address = super().get_request()
        self.connections.append(connection)
        return connection, address

    def hang_up(self) -> None:
        """Ends all connections, as the end of a process does."""
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is gone is what some tests are about."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: FakeOpenAI

    def do_GET(self) -> None:
        """Its models."""
        if self.server.page:
            self.server.pages += 1
            self.whole(200, self.server.page.encode(), "text/html", {})
        elif self.server.locked:
            self.json(401, {"error": {"message": "Incorrect API key provided"}})
        elif self.server.well:
            self.json(200, {"object": "list", "data": [self.server.model]})
        else:
            self.json(503, {"error": {"message": "Loading model", "type": "unavailable_error"}})

    def do_POST(self) -> None:
        """Its next answer."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/tokenize":
            self.server.tokenized += 1
            return self.json(200, tokenized(body))
        if self.path == "/detokenize":
            return self.json(
                200, {"prompt": "".join(self.server.words[one] for one in body["tokens"])}
            )
        self.server.bodies.append(body)
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        answers = self.server.answers
        answer = answers[min(len(self.server.bodies), len(answers)) - 1]
        self.server.asked.set()
        return answer(self)

    def json(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        """A whole answer."""
        self.whole(status, json.dumps(body).encode(), "application/json", headers or {})

    def whole(self, status: int, data: bytes, kind: str, headers: dict[str, str]) -> None:
        """A whole answer of any kind."""
        self.send_response(status)
        for name, value in {"Content-Type": kind, **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def begin_stream(self) -> None:
        """The head of a stream."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def event(self, data: Any) -> None:
        """One event of a stream."""
        text = data if isinstance(data, str) else json.dumps(data)
        self.raw(f"data: {text}\n\n".encode())

    def raw(self, data: bytes) -> None:
        """Bytes of a stream; none end it."""
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()

    def await_hang_up(self) -> None:
        """Sends nothing until the client has closed the connection."""
        with suppress(OSError):
            while self.connection.recv(1024):
                pass
        self.server.hung_up.set()

    def cut(self) -> None:
        """Closes the connection as a process that is killed does."""
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Nothing in the tests' output."""


@contextmanager
def serving(*answers: Answer, **facts: Any) -> Iterator[FakeOpenAI]:
    """A server that gives these answers."""
    server = FakeOpenAI(*answers, **facts)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        server.hang_up()
        thread.join(5)


def chunk(
    delta: dict[str, Any] | None = None,
    *,
    finish: str | None = None,
    logprobs: dict[str, Any] | None = None,
    token_ids: list[int] | None = None,
    usage: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A ``chat.completion.chunk``; one without a delta has no choices, as the last with usage."""
    choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
    if token_ids is not None:  # vLLM's
        choice["token_ids"] = token_ids
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": MODEL,
        "choices": [] if delta is None else [choice],
        "usage": usage,
    }


def usage(prompt: int, completion: int, cached: int = 0) -> dict[str, Any]:
    """Tokens as OpenAI counts them."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def says(*events: Any, done: bool = True) -> Answer:
    """A stream of these events, and ``[DONE]``."""

    def answer(handler: Handler) -> None:
        handler.begin_stream()
        for event in events:
            handler.event(event)
        if done:
            handler.event("[DONE]")
        handler.raw(b"")

    return answer


def answers_with(*words: str, finish: str = "stop", prompt: int = 5, cached: int = 0) -> Answer:
    """A chat's answer of one token per word, in the order of events of OpenAI's reference."""
    return says(
        chunk({"role": "assistant", "content": "", "refusal": None}),
        *(chunk({"content": word}) for word in words),
        chunk({}, finish=finish),
        chunk(usage=usage(prompt, len(words), cached)),
    )


def breaks_off_after(*words: str) -> Answer:
    """The beginning of an answer; then the connection is cut, as by a crash."""

    def answer(handler: Handler) -> None:
        handler.begin_stream()
        for word in words:
            handler.event(chunk({"content": word}))
        handler.cut()

    return answer


def falls_silent_after(*words: str) -> Answer:
    """The beginning of an answer, and nothing more until the client hangs up."""

    def answer(handler: Handler) -> None:
        handler.begin_stream()
        for word in words:
            handler.event(chunk({"content": word}))
        handler.await_hang_up()

    return answer


def never_answers(handler: Handler) -> None:
    """Not even headers, until the client hangs up."""
    handler.await_hang_up()


def refuses(
    status: int,
    message: str,
    *,
    type: str | None = None,  # noqa: A002  OpenAI's name for it
    code: Any = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """An error in OpenAI's form."""
    error = {"message": message, "type": type, "param": None, "code": code}
    return lambda handler: handler.json(status, {"error": error}, headers)


class InTurn:
    """One answer after another, whichever of the servers that share it is asked."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = answers
        self.servers: list[FakeOpenAI] = []  # who was asked, in this order

    def __call__(self, handler: Handler) -> None:
        self.servers.append(handler.server)
        self._answers[min(len(self.servers), len(self._answers)) - 1](handler)


def tokenized(body: dict[str, Any]) -> dict[str, Any]:
    """What vLLM's ``/tokenize`` says, with a word as a token."""
    texts = [str(one["content"]) for one in body.get("messages", ())] or [body["prompt"]]
    tokens = list(range(sum(len(text.split()) for text in texts)))
    return {"count": len(tokens), "max_model_len": 100, "tokens": tokens, "token_strs": None}
