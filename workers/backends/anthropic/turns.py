"""A conversation in the form of Anthropic's Messages API: texts of the system, and turns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ledger.errors import InvalidRequest
from ledger.messages import ChatMessage, ImagePart, Request, TextPart
from workers.backends.extra_content import ANTHROPIC, extra_of
from workers.backends.servers.arguments import arguments_of
from workers.backends.servers.image import inline_of

Block = dict[str, Any]


def system_and_turns(request: Request) -> tuple[list[Block], list[dict[str, Any]]]:
    """The texts of the system, which have a place of their own, and the turns.

    A turn of the API holds all that one side says: the results of several calls are one.
    """
    if request.prompt is not None:
        return [], [{"role": "user", "content": [_text(request.prompt)]}]
    system: list[Block] = []
    turns: list[dict[str, Any]] = []
    for message in request.messages or ():
        if message.role == "system":
            system += _said(message)
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _blocks(message)
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:  # the API takes no empty turn
            turns.append({"role": role, "content": blocks})
    return system, turns


def _blocks(message: ChatMessage) -> list[Block]:
    if message.role == "tool":  # which tool it was, its id says
        result = {"type": "tool_result", "tool_use_id": message.tool_call_id}
        return [{**result, "content": _said(message)}]
    blocks = _said(message)
    for number, call in enumerate(message.tool_calls):
        place = len(blocks) if number else 0  # a model thinks first, then it speaks, then it calls
        blocks[place:place] = _thoughts(call)
        blocks.append(_call(call))
    return blocks


def _said(message: ChatMessage) -> list[Block]:
    """Its texts and images; empty texts, which the API refuses, say nothing."""
    if message.name and message.role != "tool":
        raise InvalidRequest("messages: anthropic has no name of who speaks; leave name out.")
    content = message.content
    if not isinstance(content, tuple):
        return [_text(content)] if content else []
    return list(_parts(content))


def _parts(parts: Iterable[TextPart | ImagePart]) -> Iterator[Block]:
    for part in parts:
        if isinstance(part, ImagePart):
            yield {"type": "image", "source": _source(part)}
        elif part.text:
            yield _text(part.text)


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _source(image: ImagePart) -> Block:
    inline = inline_of(image, "anthropic")
    if inline is None:
        return {"type": "url", "url": image.image_url.url}
    return {"type": "base64", "media_type": inline.media_type, "data": inline.data}


def _call(given: dict[str, Any]) -> Block:
    function = given.get("function") or {}
    block = {"type": "tool_use", "id": given.get("id"), "name": function.get("name")}
    return {**block, "input": arguments_of(function)}


def _thoughts(call: dict[str, Any]) -> list[Block]:
    """What the model thought before it called: signed, and to be given back as it was."""
    return list(extra_of(call, ANTHROPIC).get("thinking") or ())
