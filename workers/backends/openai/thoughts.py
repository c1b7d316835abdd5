"""What a model thought before it called a tool, which DeepSeek and Kimi want back with the result.

It travels in the first call after it, as :mod:`workers.backends.extra_content` says, with the host
that it came from and under the name that this has for it; to the same host, and no other, it goes
back in the message.
"""

from __future__ import annotations

from ledger.messages import ChatMessage
from workers.backends.extra_content import NAME, OPENAI, extra_of
from workers.backends.openai.delta import REASONING, Delta, Json
from workers.backends.servers.halves import mended


class Thoughts:
    """Those of one answer."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._name, self._text = "", ""
        self._said = False

    def in_calls(self, delta: Delta) -> tuple[Json, ...]:
        """The delta's parts of calls, with what was thought since the last one. That nothing was is
        said once, also where a server says it with each part.
        """
        if delta.reasoning or not self._name:
            self._name = delta.reasoning_name
        self._text += delta.reasoning
        if not self._name or not delta.tool_calls or (self._said and not self._text):
            return delta.tool_calls
        first, *others = delta.tool_calls
        own = {"host": self._host, self._name: mended(self._text)}
        extra = {**(first.get(NAME) or {}), OPENAI: own}
        self._name, self._text, self._said = "", "", True
        return ({**first, NAME: extra}, *others)


def thoughts_in(message: ChatMessage, host: str) -> dict[str, str]:
    """The fields of a message in which ``host`` gets back what its model thought."""
    fields: dict[str, str] = {}
    for call in message.tool_calls:
        extra = extra_of(call, OPENAI)
        for name in REASONING:
            if extra.get("host") == host and isinstance(extra.get(name), str):
                fields[name] = fields.get(name, "") + extra[name]
    return fields
