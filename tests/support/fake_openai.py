"""A local server that speaks OpenAI's protocol, for what a real one cannot be made to do.

Bodies and streams have the form of OpenAI's API reference and of vLLM's server. What it answers is
a list of answers, one per request; the last one is given again and again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.fake_server import Exchange, FakeServer

MODEL = "fake-model"

Answer = Callable[[Exchange], None]


class FakeOpenAI(FakeServer):
    """The server. ``url``: of its API.

    ``well``: it answers the question for its models. ``locked``: it accepts no key there.
    ``withheld``: the status with which it keeps them from a key. ``page``: of a proxy, what it
    answers that with instead; ``pages``: times that it has. ``words``: what tokens stand for.
    ``tokenized``: times that it was asked to count.
    """

    def __init__(
        self, *answers: Answer, owner: str = "system", window: int | None = None, port: int = 0
    ) -> None:
        self.well, self.locked = True, False
        self.withheld = 0
        self.page, self.pages = "", 0
        self.words: dict[int, str] = {}
        self.tokenized = 0
        self._answers = answers
        self._model = {"id": MODEL, "object": "model", "created": 1, "owned_by": owner}
        if window is not None:
            self._model["max_model_len"] = window
        super().__init__(self._route, (), port)
        self.url += "/v1"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """Of the requests for an answer."""
        return [one.body for one in self._completions]

    @property
    def headers(self) -> list[dict[str, str]]:
        """Of the requests for an answer."""
        return [one.headers for one in self._completions]

    @property
    def _completions(self) -> list[Exchange]:
        return [one for one in self.asked if "completions" in one.path]

    def _route(self, exchange: Exchange) -> None:
        if exchange.path == "/tokenize":
            self.tokenized += 1
            exchange.reply(200, tokenized(exchange.body))
        elif exchange.path == "/detokenize":
            words = (self.words[token] for token in exchange.body["tokens"])
            exchange.reply(200, {"prompt": "".join(words)})
        elif exchange in self._completions:
            asked = self._completions.index(exchange)
            self._answers[min(asked, len(self._answers) - 1)](exchange)
        else:
            self._tell_models(exchange)

    def _tell_models(self, exchange: Exchange) -> None:
        if self.page:
            self.pages += 1
            exchange.reply(200, self.page, {"content-type": "text/html"})
        elif self.locked:
            exchange.reply(401, {"error": {"message": "Incorrect API key provided"}})
        elif self.withheld:
            exchange.reply(self.withheld, {"error": {"message": "Not for this key"}})
        elif self.well:
            exchange.reply(200, {"object": "list", "data": [self._model]})
        else:
            error = {"message": "Loading model", "type": "unavailable_error"}
            exchange.reply(503, {"error": error})


@contextmanager
def serving(*answers: Answer, **facts: Any) -> Iterator[FakeOpenAI]:
    """A server that gives these answers."""
    with FakeOpenAI(*answers, **facts) as server:
        yield server


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


def begin(exchange: Exchange, *events: Any) -> None:
    """The head of a stream, and its first events."""
    exchange.begin("text/event-stream; charset=utf-8")
    for event in events:
        send(exchange, event)


def send(exchange: Exchange, event: Any) -> None:
    """One event of a stream."""
    data = event if isinstance(event, str) else json.dumps(event)
    exchange.send(f"data: {data}\n\n".encode())


def says(*events: Any, done: bool = True) -> Answer:
    """A stream of these events, and ``[DONE]``."""

    def answer(exchange: Exchange) -> None:
        begin(exchange, *events)
        if done:
            send(exchange, "[DONE]")
        exchange.end()

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

    def answer(exchange: Exchange) -> None:
        begin(exchange, *(chunk({"content": word}) for word in words))
        exchange.cut()

    return answer


def falls_silent_after(*words: str) -> Answer:
    """The beginning of an answer, and nothing more until the client hangs up."""

    def answer(exchange: Exchange) -> None:
        begin(exchange, *(chunk({"content": word}) for word in words))
        exchange.wait_until_left()

    return answer


def never_answers(exchange: Exchange) -> None:
    """Not even headers, until the client hangs up."""
    exchange.wait_until_left()


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
    return lambda exchange: exchange.reply(status, {"error": error}, headers)


class InTurn:
    """One answer after another, whichever of the servers that share it is asked."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = answers
        self.servers: list[Any] = []  # who was asked, in this order

    def __call__(self, exchange: Exchange) -> None:
        self.servers.append(exchange.server)
        self._answers[min(len(self.servers), len(self._answers)) - 1](exchange)


def tokenized(body: dict[str, Any]) -> dict[str, Any]:
    """What vLLM's ``/tokenize`` says, with a word as a token."""
    texts = [str(one["content"]) for one in body.get("messages", ())] or [body["prompt"]]
    tokens = list(range(sum(len(text.split()) for text in texts)))
    return {"count": len(tokens), "max_model_len": 100, "tokens": tokens, "token_strs": None}
