"""A server that speaks Ollama's protocol (docs.ollama.com/api), with words for a model.

Like the real one: lines of JSON, cut anywhere by the network; one line a token; the counts on the
last one; the token that ends an answer is counted; errors as ``{"error": …}``, in the midst of an
answer too. A prompt with a keyword shows what some models do: "think", "weather" with tools.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from typing import Any

from tests.support.fake_server import Exchange, FakeServer
from tests.support.word_model import SLOW, Made, answer

MODEL = "tiny:1b"
CREATED = "2026-11-21T12:00:00.000000001Z"
WINDOW = 2048
CAPABILITIES = ("completion", "tools", "thinking", "vision")


class FakeOllama(FakeServer):
    """``models``: those that are there. ``cached``: tokens of each prompt that are in its cache.
    ``thinking``: the levels of it that its model has. ``unpaid``: a provider before it wants to be
    paid first.
    """

    def __init__(self, port: int = 0) -> None:
        self.models, self.cached = {MODEL}, 0
        self.capabilities: tuple[str, ...] = CAPABILITIES
        self.thinking: list[Any] = [True, False]
        self.unpaid = False
        self.broken = False  # a proxy before it says that it is away
        self._ids = count()
        super().__init__(self._route, ("/api/chat", "/api/generate", "/api/pull"), port)

    def _route(self, exchange: Exchange) -> None:
        match exchange.path:
            case _ if self.unpaid:
                exchange.reply(402, {"error": "Your credit balance is too low"})
            case "/api/version" if self.broken:
                exchange.reply(502, "<html>Bad Gateway</html>")
            case "/api/version":
                exchange.reply(200, {"version": "0.40.12"})
            case "/api/show" if exchange.body["model"] in self.models:
                info = {"general.architecture": "llama", "llama.context_length": WINDOW}
                known = {
                    "capabilities": self.capabilities,
                    "model_info": info,
                    "thinking": {"values": self.thinking, "default": self.thinking[0]},
                }
                exchange.reply(200, {"details": {"format": "gguf"}, **known})
            case "/api/pull":
                self._pull(exchange)
            case "/api/chat" | "/api/generate" | "/api/show":
                self._generate(exchange)
            case _:
                exchange.reply(404, "404 page not found")

    def _pull(self, exchange: Exchange) -> None:
        digest = "sha256:74701a8c35f6c8d9a4b91f3f3497643001d63e0c7a84e085bed452548fa88d45"
        part = {"status": "pulling 74701a8c35f6", "digest": digest, "total": 2_000_000_000}
        self.models.add(exchange.body["model"])
        send_lines(
            exchange,
            [
                {"status": "pulling manifest"},
                *({**part, "completed": done * 500_000_000} for done in range(5)),
                {"status": "verifying sha256 digest"},
                {"status": "success"},
            ],
        )

    def _generate(self, exchange: Exchange) -> None:
        refused = self._refusal(exchange.body)
        if refused is not None:
            status, words = refused
            exchange.reply(status, {"error": words})
            return
        if SLOW in json.dumps(exchange.body):
            exchange.wait_until_left()
        send_lines(exchange, self._lines(exchange.path, exchange.body))

    def _refusal(self, body: dict[str, Any]) -> tuple[int, str] | None:
        if body["model"] not in self.models:
            return 404, f"model '{body['model']}' not found"
        if body.get("tools") and "tools" not in self.capabilities:
            return 400, f"{body['model']} does not support tools"
        if body.get("think") and "thinking" not in self.capabilities:
            return 400, f'"{body["model"]}" does not support thinking'
        if body.get("raw") and body.get("template"):
            return 400, "raw mode does not support template, system, or context"
        if _prompt_tokens(body) > body["options"].get("num_ctx", 4096) and not body["truncate"]:
            return 400, "the input length exceeds the context length"
        return None

    def _lines(self, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        options, text = body["options"], json.dumps(body.get("messages", body.get("prompt")))
        prefix = {"model": body["model"], "created_at": CREATED}
        if body.get("tools") and "weather" in text:
            call = {"index": 0, "name": body["tools"][0]["function"]["name"]}
            function = {**call, "arguments": {"city": "Zürich", "days": [1, 2]}}
            calls = [{"id": f"call_{next(self._ids)}", "function": function}]
            message = {"role": "assistant", "content": "", "tool_calls": calls}
            yield {**prefix, "message": message, "done": False}
            yield {**prefix, **_said(path, ""), **self._end(body, Made((), 12, "stop"))}
            return
        thoughts = ["I", " see."] if "think" in text else []
        for thought in thoughts:
            yield {**prefix, **_said(path, "", thinking=thought), "done": False}
        context, so_far = _context(body)
        stops = tuple(options.get("stop", ()))
        made = answer(context, options["num_predict"], so_far=so_far, stops=stops)
        for word in made.texts:
            likely = {"logprobs": [_likely(word, body)]} if body.get("logprobs") else {}
            yield {**prefix, **_said(path, word), **likely, "done": False}
        whole = Made((), made.tokens + len(thoughts), made.end)
        yield {**prefix, **_said(path, ""), **self._end(body, whole)}

    def _end(self, body: dict[str, Any], made: Made) -> dict[str, Any]:
        return {
            "done": True,
            "done_reason": "length" if made.end == "length" else "stop",
            "total_duration": 174560334,
            "load_duration": 101397084,
            "prompt_eval_count": _prompt_tokens(body),
            "prompt_eval_cached_count": self.cached,
            "prompt_eval_duration": 13074791,
            "eval_count": made.tokens,
            "eval_duration": 52479709,
        }


def send_lines(exchange: Exchange, lines: Iterator[dict[str, Any]] | list[dict[str, Any]]) -> None:
    """Sends lines of JSON as a network does: some cut in two, some two at once."""
    exchange.begin("application/x-ndjson")
    rest = b""
    for number, line in enumerate(lines):
        exchange.check()
        rest += json.dumps(line, ensure_ascii=False).encode() + b"\n"
        if number % 3 == 1:
            exchange.send(rest[:-9])
            rest = rest[-9:]
        elif number % 3 == 0:
            exchange.send(rest)
            rest = b""
    if rest:
        exchange.send(rest)
    exchange.end()


def _said(path: str, text: str, *, thinking: str = "") -> dict[str, Any]:
    thought = {"thinking": thinking} if thinking else {}
    if path == "/api/generate":
        return {"response": text, **thought}
    return {"message": {"role": "assistant", "content": text, **thought}}


def _likely(word: str, body: dict[str, Any]) -> dict[str, Any]:
    one = {"token": word, "logprob": -0.25, "bytes": list(word.encode())}
    top = [{**one, "logprob": -0.25 - place} for place in range(body.get("top_logprobs") or 0)]
    return {**one, "top_logprobs": top}


def _context(body: dict[str, Any]) -> tuple[str, str]:
    """All that is read, and the beginning of the answer that it ends with."""
    if body.get("raw"):
        prompt, _, so_far = str(body["prompt"]).partition("\nAnswer:")
        return prompt, so_far
    messages = body["messages"]
    if messages[-1]["role"] == "assistant":
        return json.dumps(messages[:-1]), messages[-1]["content"]
    return json.dumps(messages), ""


def _prompt_tokens(body: dict[str, Any]) -> int:
    texts = [str(body.get("prompt", "")), *(one["content"] for one in body.get("messages", ()))]
    return sum(len(text.split()) for text in texts) + 3
