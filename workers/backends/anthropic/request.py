"""A request in the form of Anthropic's Messages API (platform.claude.com/docs/en/api/messages).

What stays the same between requests comes first, as the API's prompt cache wants it: tools, system
texts, then the conversation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ledger.errors import InvalidRequest
from ledger.messages import ChatMessage, ImagePart, Request, TextPart
from ledger.settings import Settings
from workers.backends.anthropic.options import AnthropicOptions
from workers.backends.base import Run
from workers.backends.extra_content import ANTHROPIC, extra_of
from workers.backends.response_format import wanted_format
from workers.backends.servers.arguments import arguments_of
from workers.backends.servers.image import inline_of

Block = dict[str, Any]

SAMPLING = ("temperature", "top_p")  # what there are settings of, too

# Stands in for response_format json_object, which the API does not have: a tool that must be
# called, and takes any object.
JSON_TOOL: Block = {
    "name": "json",
    "description": "Gives the answer as a JSON object.",
    "input_schema": {"type": "object"},
}


def body_of(run: Run, model: str, options: AnthropicOptions, settings: Settings) -> dict[str, Any]:
    """What the SDK's ``messages.create`` is called with.

    A setting for sampling is sent if somebody has set it: newer models refuse any.

    Raises:
        InvalidRequest: the request has something that the API has no form for.
    """
    request = run.request
    system, turns = _system_and_turns(request)
    if not turns:
        raise InvalidRequest("messages: anthropic answers a user, and only the system speaks.")
    is_set = settings.model_fields_set
    sampling = {name: getattr(settings, name) for name in SAMPLING if name in is_set}
    given = {name: getattr(request, name) for name in (*SAMPLING, "top_k")}
    sampling |= {name: one for name, one in given.items() if one is not None}
    tools = _tools(request)
    must_call = tools.get("tool_choice", {}).get("type") in ("any", "tool")
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": run.max_tokens,
        "system": system,
        "messages": turns,
        "stop_sequences": list(request.stop),
        "thinking": options.how_to_think(run.max_tokens, must_call=must_call),
        "output_config": _output(request, options),
        **tools,
        # The SDK has no parameters for these any more; only older models take them.
        "extra_body": sampling | options.extra_body,
        "extra_headers": options.extra_headers,
    }
    body = {name: value for name, value in body.items() if value}
    if options.prompt_cache:
        _mark_the_stable_part(body, {"type": "ephemeral", "ttl": options.cache_ttl})
    return body


def wants_any_json(request: Request) -> bool:
    """Whether the answer is what :data:`JSON_TOOL` is called with."""
    return wanted_format(request, "anthropic") == "json"


def _mark_the_stable_part(body: dict[str, Any], mark: dict[str, str]) -> None:
    """Tells the API up to where requests are alike.

    A conversation that has been answered before will go on, so all of it is; a single question
    will not come again, and writing it into the cache would cost more than reading it.
    """
    stable = body.get("system") or body.get("tools")
    if stable:
        stable[-1] = {**stable[-1], "cache_control": mark}
    if any(turn["role"] == "assistant" for turn in body["messages"]):
        body["cache_control"] = mark


def _output(request: Request, options: AnthropicOptions) -> dict[str, Any]:
    output: dict[str, Any] = {"effort": options.effort} if options.effort else {}
    wanted = wanted_format(request, "anthropic")
    if wanted == "json" and request.tools:
        raise InvalidRequest(
            "response_format: anthropic has no json_object beside tools; use json_schema."
        )
    if isinstance(wanted, dict):
        output["format"] = {"type": "json_schema", "schema": wanted}
    return output


def _tools(request: Request) -> dict[str, Any]:
    if wants_any_json(request):
        return {"tools": [JSON_TOOL], "tool_choice": {"type": "tool", "name": "json"}}
    choice = request.tool_choice
    if not request.tools:
        if choice not in (None, "auto", "none"):  # these say nothing where there is no tool
            raise InvalidRequest("tool_choice: there are no tools to choose from.")
        return {}
    tools = {"tools": [_tool(tool) for tool in request.tools]}
    return tools if choice is None else {**tools, "tool_choice": _choice(choice)}


def _tool(given: dict[str, Any]) -> Block:
    function = given.get("function")
    if given.get("type") != "function" or not isinstance(function, dict):
        raise InvalidRequest('tools: anthropic takes {"type": "function", "function": {…}}.')
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    tool = {"name": function.get("name"), "input_schema": schema}
    same = {name: function[name] for name in ("description", "strict") if function.get(name)}
    return tool | same


def _choice(choice: str | dict[str, Any]) -> Block:
    if isinstance(choice, str):
        return {"type": {"required": "any"}.get(choice, choice)}
    name = (choice.get("function") or {}).get("name")
    if choice.get("type") != "function" or not name:
        raise InvalidRequest('tool_choice: it takes {"type": "function", "function": {"name": …}}.')
    return {"type": "tool", "name": name}


def _system_and_turns(request: Request) -> tuple[list[Block], list[dict[str, Any]]]:
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
