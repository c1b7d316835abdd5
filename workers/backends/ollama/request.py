"""A request in the form of Ollama's API (docs.ollama.com/api)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ledger.errors import InvalidRequest
from ledger.messages import ChatMessage, ImagePart, Request
from ledger.settings import Settings
from workers.backends.base import Run
from workers.backends.ollama.options import OllamaOptions
from workers.backends.response_format import wanted_format
from workers.backends.servers.arguments import arguments_of
from workers.backends.servers.image import inline_of

CHAT, GENERATE = "/api/chat", "/api/generate"


class Asking:
    """Makes the bodies of one instance's requests."""

    def __init__(self, model: str, options: OllamaOptions, settings: Settings) -> None:
        self.path = GENERATE if options.raw else CHAT
        self._options = options
        self._same = {
            "model": model,
            "stream": True,
            # Ollama would leave out the oldest messages without a word, or the oldest tokens.
            "truncate": False,
            "shift": False,
            "keep_alive": options.keep_alive,
            "think": options.think,
        }
        self._of_the_model = options.of_the_model(settings)
        self._defaults = {"temperature": settings.temperature, "top_p": settings.top_p}

    def body(self, run: Run) -> dict[str, Any]:
        """The body that asks for the rest of the answer.

        Raises:
            InvalidRequest: the request has something that Ollama has no form for.
        """
        request = run.request
        body = {
            **self._same,
            **self._input(request, run.continue_from),
            "tools": list(request.tools) if request.tools else None,
            "format": wanted_format(request, "ollama"),
            "options": self._chosen(request) | {"num_predict": run.max_tokens},
        }
        if request.logprobs is not None:
            body |= {"logprobs": True, "top_logprobs": request.logprobs}
        return {name: value for name, value in body.items() if value is not None}

    def _input(self, request: Request, so_far: str) -> dict[str, Any]:
        if self._options.raw:
            return {"raw": True, "prompt": (request.prompt or "") + so_far}
        messages = messages_of(request)
        if so_far:
            messages.append({"role": "assistant", "content": so_far})
        return {"messages": messages}

    def _chosen(self, request: Request) -> dict[str, Any]:
        names = ("temperature", "top_p", "top_k", "seed")
        given = {name: getattr(request, name) for name in names}
        chosen = self._defaults | {name: one for name, one in given.items() if one is not None}
        if request.stop:
            chosen["stop"] = list(request.stop)
        return self._of_the_model | chosen


def messages_of(request: Request) -> list[dict[str, Any]]:
    """The request's messages; a prompt is the one message of a user.

    Raises:
        InvalidRequest: one has a name, an image that is not in it, or a call that is no JSON.
    """
    if request.prompt is not None:
        return [{"role": "user", "content": request.prompt}]
    called: dict[str, str] = {}  # id of a call -> the tool
    return [dict(_parts(message, called)) for message in request.messages or ()]


def _parts(message: ChatMessage, called: dict[str, str]) -> Iterator[tuple[str, Any]]:
    yield "role", message.role
    yield "content", message.text
    if message.images:
        yield "images", [_base64(image) for image in message.images]
    if message.tool_calls:
        yield "tool_calls", [_call(given, called) for given in message.tool_calls]
    if message.role == "tool":
        name = message.name or called.get(message.tool_call_id or "")
        if name:
            yield "tool_name", name
        if message.tool_call_id:
            yield "tool_call_id", message.tool_call_id
    elif message.name:
        raise InvalidRequest("messages: ollama has no name of who speaks; leave name out.")


def _base64(image: ImagePart) -> str:
    inline = inline_of(image, "ollama")
    if inline is None:
        raise InvalidRequest(
            "messages: ollama fetches no image; send it as data:image/png;base64,…."
        )
    return inline.data


def _call(given: dict[str, Any], called: dict[str, str]) -> dict[str, Any]:
    function = given.get("function") or {}
    name = str(function.get("name", ""))
    call: dict[str, Any] = {"function": {"name": name, "arguments": arguments_of(function)}}
    if given.get("id"):
        call["id"] = given["id"]
        called[str(given["id"])] = name
    return call
