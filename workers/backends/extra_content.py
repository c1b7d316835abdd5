"""What a provider wants back with a call of a tool, such as signed thoughts.

It travels in the call as ``extra_content``, under the provider's name, as in the OpenAI-compatible
API of Google's models. It is for that provider alone.
"""

from __future__ import annotations

from typing import Any

from ledger.messages import ChatMessage

Call = dict[str, Any]

NAME = "extra_content"
ANTHROPIC, OPENAI = "anthropic", "openai"  # those that backends here add


def extra_of(call: Call, provider: str) -> dict[str, Any]:
    """What is there for ``provider``; nothing where it is of no form that is known."""
    extra = call.get(NAME)
    found = extra.get(provider) if isinstance(extra, dict) else None
    return found if isinstance(found, dict) else {}


def without_extra(message: ChatMessage, provider: str | None = None) -> ChatMessage:
    """The message without what is there for ``provider``; None: for any."""
    if not any(NAME in call for call in message.tool_calls):
        return message
    calls = tuple(_without(call, provider) for call in message.tool_calls)
    return message.model_copy(update={"tool_calls": calls})


def _without(call: Call, provider: str | None) -> Call:
    extra = call.get(NAME)
    rest = {name: one for name, one in call.items() if name != NAME}
    if provider is None:
        return rest
    if isinstance(extra, dict):
        extra = {name: one for name, one in extra.items() if name != provider}
    return {**rest, NAME: extra} if extra else rest
