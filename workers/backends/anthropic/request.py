"""A request in the form of Anthropic's Messages API (platform.claude.com/docs/en/api/messages).

What stays the same between requests comes first, as the API's prompt cache wants it: tools, system
texts, then the conversation.
"""

from __future__ import annotations

from typing import Any

from ledger.errors import InvalidRequest
from ledger.messages import Request
from ledger.settings import Settings
from workers.backends.anthropic.options import AnthropicOptions
from workers.backends.anthropic.tools import tools_of
from workers.backends.anthropic.turns import system_and_turns
from workers.backends.base import Run
from workers.backends.response_format import wanted_format

SAMPLING = ("temperature", "top_p")  # what there are settings of, too


def body_of(run: Run, model: str, options: AnthropicOptions, settings: Settings) -> dict[str, Any]:
    """What the SDK's ``messages.create`` is called with.

    A setting for sampling is sent if somebody has set it: newer models refuse any.

    Raises:
        InvalidRequest: the request has something that the API has no form for.
    """
    request = run.request
    system, turns = system_and_turns(request)
    if not turns:
        raise InvalidRequest("messages: anthropic answers a user, and only the system speaks.")
    is_set = settings.model_fields_set
    sampling = {name: getattr(settings, name) for name in SAMPLING if name in is_set}
    given = {name: getattr(request, name) for name in (*SAMPLING, "top_k")}
    sampling |= {name: one for name, one in given.items() if one is not None}
    tools = tools_of(request)
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
