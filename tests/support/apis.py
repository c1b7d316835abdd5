"""APIs of models other than OpenAI's, each with a server that can be made to fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from tests.support import fake_anthropic, fake_ollama
from tests.support.fake_server import Exchange, FakeServer

ONCE = "Once"


@dataclass(frozen=True)
class Api:
    """One API.

    ``options``: of an instance's table. ``serve``: starts a server, on a port if one is given.
    ``path``: where it is asked for an answer. ``away``: how an error says that the server at
    ``{url}`` cannot be reached. ``broken``: a pattern of what it says where an answer broke off.
    ``begin``: begins an answer with ONCE. ``word``: another word of it, as it is sent.
    ``nonsense``: answers with what is no answer. ``stranger``: begins an answer with ONCE and goes
    on with what has the form of one, and no sense.
    """

    library: str
    options: dict[str, Any]
    serve: Callable[..., FakeServer]
    path: str
    away: str
    broken: str
    begin: Callable[[Exchange], None]
    word: bytes
    nonsense: Callable[[Exchange], None]
    stranger: Callable[[Exchange], None]

    def table(self, server: FakeServer, **options: Any) -> dict[str, Any]:
        """The table of an instance on this server."""
        return {**self.options, "base_url": server.url, **options}


def _begin_anthropic(one: Exchange) -> None:
    block = fake_anthropic.block(0, {"type": "text", "text": ONCE}, [])
    fake_anthropic.send_events(one, islice(block, 1), end=False)


def _nonsense_of_anthropic(one: Exchange) -> None:
    one.begin("text/event-stream")
    one.send(b"event: message_start\ndata: {oops\n\n")
    one.end()


def _stranger_of_anthropic(one: Exchange) -> None:
    _begin_anthropic(one)
    one.send(b'event: message_start\ndata: {"type": "message_start", "message": {}}\n\n')
    one.end()


def _begin_ollama(one: Exchange) -> None:
    one.begin("application/x-ndjson")
    one.send(_line(ONCE))


def _stranger_of_ollama(one: Exchange) -> None:
    _begin_ollama(one)
    one.send(b'{"message": [1], "done": false}\n')
    one.end()


def _line(word: str) -> bytes:
    line = {"message": {"role": "assistant", "content": word}, "done": False}
    return json.dumps(line).encode() + b"\n"


_DELTA = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " a"}}

ANTHROPIC = Api(
    library="anthropic",
    options={"backend": "anthropic", "model": fake_anthropic.MODEL, "api_key": fake_anthropic.KEY},
    serve=fake_anthropic.FakeAnthropic,
    path=fake_anthropic.PATH,
    away="No connection to {url} can be made",
    broken="was lost",
    begin=_begin_anthropic,
    word=f"event: content_block_delta\ndata: {json.dumps(_DELTA)}\n\n".encode(),
    nonsense=_nonsense_of_anthropic,
    stranger=_stranger_of_anthropic,
)
OLLAMA = Api(
    library="ollama",
    options={"backend": "ollama", "model": fake_ollama.MODEL},
    serve=fake_ollama.FakeOllama,
    path="/api/chat",
    away="Ollama at {url} does not answer",
    broken="does not answer|ended the connection",
    begin=_begin_ollama,
    word=_line(" a"),
    nonsense=lambda one: one.reply(200, "<html>Sign in</html>"),
    stranger=_stranger_of_ollama,
)
