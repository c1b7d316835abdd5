"""A server that speaks Anthropic's Messages API, with words for a model.

Like the real one (platform.claude.com/docs/en/api): server-sent events with names and pings, kinds
of events and blocks that a client may not know, errors with a type, in the midst of an answer too.
It refuses what the API refuses. A prompt with a keyword shows what some models do: "think",
"weather" with tools, "harm".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

from tests.support.fake_server import Exchange, FakeServer
from tests.support.word_model import SLOW, answer

MODEL = "claude-tiny-1"
KEY = "sk-ant-api03-of-the-tests"
PATH = "/v1/messages"

FIELDS = frozenset(
    {
        *("model", "max_tokens", "messages", "system", "stop_sequences", "stream"),
        *("temperature", "top_p", "top_k", "tools", "tool_choice", "thinking"),
        *("output_config", "cache_control", "metadata", "service_tier"),
    }
)
ENDS = {"stop": "end_turn", "length": "max_tokens", "stop_text": "stop_sequence"}

Event = tuple[str, dict[str, Any]]


class FakeAnthropic(FakeServer):
    """``cached``: tokens of each prompt that are read from, and written to, its cache. ``pages``:
    of a proxy, each sent once in the model's place. ``unpaid``: the account is empty.
    """

    def __init__(self, port: int = 0) -> None:
        self.cached = (0, 0)
        self.pages: list[str] = []
        self.unpaid = False
        self._ids = count()
        super().__init__(self._route, (PATH,), port)

    def _route(self, exchange: Exchange) -> None:
        given = exchange.headers
        if KEY not in (given.get("x-api-key"), given.get("authorization", "")[len("Bearer ") :]):
            refuse(exchange, 401, "authentication_error", "invalid x-api-key")
        elif "anthropic-version" not in given:
            refuse(exchange, 400, "invalid_request_error", "anthropic-version: header is required")
        elif self.unpaid:
            refuse(exchange, 400, "invalid_request_error", "Your credit balance is too low")
        elif exchange.path == f"/v1/models/{MODEL}":
            if self.pages:
                exchange.reply(200, self.pages.pop(), {"content-type": "text/html"})
            else:
                exchange.reply(200, _model())
        elif exchange.path == PATH and exchange.body.get("model") == MODEL:
            self._message(exchange)
        elif exchange.path == PATH:
            refuse(exchange, 404, "not_found_error", f"model: {exchange.body.get('model')}")
        else:
            refuse(exchange, 404, "not_found_error", "Not Found")

    def _message(self, exchange: Exchange) -> None:
        wrong = _what_is_wrong(exchange.body)
        if wrong:
            refuse(exchange, 400, "invalid_request_error", wrong)
            return
        if SLOW in json.dumps(exchange.body):
            exchange.wait_until_left()
        send_events(exchange, self._events(exchange.body))

    def _events(self, body: dict[str, Any]) -> Iterator[Event]:
        text = json.dumps(body["messages"])
        yield self.start(len(text.split()))
        yield "ping", {"type": "ping"}
        if "harm" in text:
            details = {"type": "refusal", "category": "general_harms", "explanation": "Not this."}
            yield ended("refusal", 1, stop_details=details)
            yield STOP
            return
        number = 0
        if "think" in text:
            yield from block(
                number, {"type": "thinking", "thinking": "", "signature": ""}, THOUGHTS
            )
            number += 1
        if body.get("tools") and ("weather" in text or "tool_choice" in body):
            tool = {"type": "tool_use", "id": f"toolu_{next(self._ids)}", "input": {}}
            parts = ['{"city": "Zü', 'rich", "days"', ": [1, 2]}"]
            deltas = [{"type": "input_json_delta", "partial_json": part} for part in ["", *parts]]
            yield from block(number, {**tool, "name": body["tools"][0]["name"]}, deltas)
            yield ended("tool_use", 30)
            yield STOP
            return
        context = json.dumps([body.get("system"), body["messages"]])
        stops = tuple(body.get("stop_sequences", ()))
        made = answer(context, body["max_tokens"], stops=stops)
        deltas = [{"type": "text_delta", "text": word} for word in made.texts]
        yield from block(number, {"type": "text", "text": ""}, deltas)
        yield ended(ENDS[made.end], made.tokens, stop_sequence=made.stop_text)
        yield STOP

    def start(self, prompt_tokens: int) -> Event:
        """The first event."""
        read, written = self.cached
        usage = {
            "input_tokens": prompt_tokens,
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": written,
            "output_tokens": 1,
            "service_tier": "standard",
        }
        message = {"id": f"msg_{next(self._ids)}", "type": "message", "role": "assistant"}
        rest = {"content": [], "model": MODEL, "stop_reason": None, "stop_sequence": None}
        return "message_start", {
            "type": "message_start",
            "message": {**message, **rest, "usage": usage},
        }


STOP: Event = ("message_stop", {"type": "message_stop"})

THOUGHTS = [
    {"type": "thinking_delta", "thinking": "Let me"},
    {"type": "thinking_delta", "thinking": " see."},
    {"type": "signature_delta", "signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl"},
]


def block(number: int, first: dict[str, Any], deltas: Iterable[dict[str, Any]]) -> Iterator[Event]:
    """The events of one block of content."""
    yield (
        "content_block_start",
        {"type": "content_block_start", "index": number, "content_block": first},
    )
    for delta in deltas:
        kind = "content_block_delta"
        yield kind, {"type": kind, "index": number, "delta": delta}
    yield "content_block_stop", {"type": "content_block_stop", "index": number}


def ended(reason: str, tokens: int, **more: Any) -> Event:
    """The event that says why it ended, and what it cost."""
    delta = {"stop_reason": reason, "stop_sequence": None, **more}
    return "message_delta", {
        "type": "message_delta",
        "delta": delta,
        "usage": {"output_tokens": tokens},
    }


def failed(kind: str, words: str) -> Event:
    """The event of an error."""
    return "error", {"type": "error", "error": {"type": kind, "message": words}}


def refuse(
    exchange: Exchange, status: int, kind: str, words: str, headers: dict[str, str] | None = None
) -> None:
    """Answers with an error."""
    body = {"type": "error", "error": {"type": kind, "message": words}}
    exchange.reply(status, {**body, "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy"}, headers)


def send_events(exchange: Exchange, events: Iterable[Event], *, end: bool = True) -> None:
    """Sends events as a network does: some cut in two."""
    exchange.begin("text/event-stream; charset=utf-8", {"request-id": "req_011CSHoEeqs5C35K2UUq"})
    for number, (name, data) in enumerate(events):
        exchange.check()
        content = f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
        half = len(content) // 2 if number % 3 else 0
        if half:
            exchange.send(content[:half])
        exchange.send(content[half:])
    if end:
        exchange.end()


def _model() -> dict[str, Any]:
    yes = {"supported": True}
    can = {"image_input": yes, "structured_outputs": yes, "thinking": {"supported": True}}
    return {
        "type": "model",
        "id": MODEL,
        "display_name": "Claude Tiny",
        "created_at": "2026-02-04T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": 200_000,
        "max_tokens": 64_000,
        "capabilities": can,
    }


def _what_is_wrong(body: dict[str, Any]) -> str:
    """The API's words on what it does not take; empty if all is well."""
    for name in body.keys() - FIELDS:
        return f"{name}: Extra inputs are not permitted"
    if body.get("thinking", {}).get("budget_tokens", 0) >= body["max_tokens"]:
        return "`max_tokens` must be greater than `thinking.budget_tokens`."
    if body["messages"][0]["role"] != "user":
        return 'messages: first message must use the "user" role'
    if body["messages"][-1]["role"] != "user":
        return "This model does not support assistant message prefill."
    if body.get("tool_choice") and not body.get("tools"):
        return "tool_choice may only be specified while providing tools."
    for turn in body["messages"]:
        if not turn["content"]:
            return "messages: all messages must have non-empty content"
        if any(one["type"] == "text" and not one["text"] for one in turn["content"]):
            return "messages: text content blocks must be non-empty"
    return _what_is_wrong_with_calls(body["messages"])


def _what_is_wrong_with_calls(turns: list[dict[str, Any]]) -> str:
    for turn, after in zip(turns, [*turns[1:], None], strict=True):
        called = {one["id"] for one in turn["content"] if one["type"] == "tool_use"}
        blocks = after["content"] if after else []
        answered = {one.get("tool_use_id") for one in blocks if one["type"] == "tool_result"}
        if called - answered:
            return "messages: `tool_use` ids were found without `tool_result` blocks after them"
    return ""
