"""What Anthropic's API streams, as pieces of an answer.

Source of the events: platform.claude.com/docs/en/build-with-claude/streaming. Kinds of events,
blocks and deltas that are not known here may come and say nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal

from ledger.errors import BackendError
from workers.backends import extra_content
from workers.backends.anthropic import errors as anthropic_errors
from workers.backends.base import Piece

# Below what any tokenizer of theirs makes of prose and code, so that the end puts it right upwards.
BYTES_PER_TOKEN = 6

_ENDS: dict[str, Literal["stop", "length", "tool_calls"]] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
}


class AnthropicAnswer:
    """Counts one answer while it comes.

    The API says at the end how many tokens there were. Until then each piece stands for a few too
    few, and never for the last of ``max_tokens``: nobody reads on once these are there.
    """

    def __init__(self, max_tokens: int, where: str, *, any_json: bool) -> None:
        """
        Args:
            where: the server, for the sentence of an error.
            any_json: the arguments of the one call are the answer.
        """
        self._max_tokens, self._where, self._any_json = max_tokens, where, any_json
        self._said = 0  # tokens
        self._prompt: dict[str, Any] = {}  # what the next piece says of the prompt
        self._read = self._cached = 0  # tokens of it
        self._call = -1  # index of the call that comes
        self._calling = False  # whether the block that comes is a call of ours
        self._input: Any = None  # of that call, where none of it was told yet
        self._thoughts: list[dict[str, Any]] = []  # blocks, as they are given back
        self._stop_reason: str | None = None
        self._why = ""
        self._made = 0  # tokens, by the API's own count

    def pieces(self, events: Iterator[Any]) -> Iterator[Piece]:
        """The answer's pieces.

        Raises:
            ContentRefused: the model declined.
            BackendError: the answer has no end.
        """
        for event in events:
            piece = self._piece(event)
            if piece is not None:
                yield self._with_prompt(piece)
            if event.type == "message_stop":
                with suppress(BackendError):  # a connection that was read to its end is used again
                    for _ in events:
                        pass
        if self._stop_reason is None:
            raise anthropic_errors.unreachable(self._where, "the answer has no end")
        yield from self._end(self._stop_reason)

    def _piece(self, event: Any) -> Piece | None:
        match event.type:
            case "message_start":
                self._count_prompt(event.message.usage)
            case "content_block_start":
                return self._block(event.content_block)
            case "content_block_delta":
                return self._delta(event.delta)
            case "content_block_stop" if self._input is not None:
                whole, self._input = self._input, None
                return self._arguments(json.dumps(whole, ensure_ascii=False))
            case "message_delta":
                self._count_prompt(event.usage)
                self._made = event.usage.output_tokens or self._made
                self._stop_reason = event.delta.stop_reason or self._stop_reason
                details = getattr(event.delta, "stop_details", None)
                self._why = getattr(details, "explanation", None) or self._why
        return None

    def _count_prompt(self, usage: Any) -> None:
        """The API tells it first; of servers that are compatible some know it only at the end."""
        cached, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
        read = (usage.input_tokens or 0) + cached + written
        if read > self._read:
            more = max(0, cached - self._cached)
            self._prompt = {"prompt_tokens": read, "cached_tokens": more}
            self._read, self._cached = read, self._cached + more

    def _block(self, block: Any) -> Piece | None:
        self._calling = block.type == "tool_use"
        match block.type:
            case "thinking":
                self._thoughts.append({"type": "thinking", "thinking": "", "signature": ""})
                return self._thought(block.thinking) if block.thinking else None
            case "redacted_thinking":
                self._thoughts.append({"type": "redacted_thinking", "data": block.data})
            case "tool_use":
                self._input = block.input or {}
                self._call += 1
                return None if self._any_json else self._begun(block)
            case "text" if block.text:
                return Piece(block.text, self._tokens(block.text))
        return None

    def _begun(self, block: Any) -> Piece:
        call: dict[str, Any] = {
            "index": self._call,
            "id": block.id,
            "type": "function",
            "function": {"name": block.name, "arguments": ""},
        }
        if self._thoughts:
            call[extra_content.NAME] = {extra_content.ANTHROPIC: {"thinking": self._thoughts}}
            self._thoughts = []
        return Piece("", self._tokens(block.name), tool_calls=(call,))

    def _delta(self, delta: Any) -> Piece | None:
        match delta.type:
            case "text_delta" if delta.text:
                return Piece(delta.text, self._tokens(delta.text))
            case "input_json_delta" if delta.partial_json and self._calling:
                self._input = None
                return self._arguments(delta.partial_json)
            case "thinking_delta" if delta.thinking:
                return self._thought(delta.thinking)
            case "signature_delta":
                self._thoughts[-1]["signature"] += delta.signature
        return None

    def _thought(self, part: str) -> Piece:
        self._thoughts[-1]["thinking"] += part
        return Piece("", self._tokens(part), reasoning=part)

    def _arguments(self, part: str) -> Piece:
        if self._any_json:
            return Piece(part, self._tokens(part))
        call = {"index": self._call, "function": {"arguments": part}}
        return Piece("", self._tokens(part), tool_calls=(call,))

    def _tokens(self, text: str) -> int:
        most = self._max_tokens - 1 - self._said
        tokens = min(max(1, len(text.encode()) // BYTES_PER_TOKEN), most)
        self._said += tokens
        return tokens

    def _end(self, reason: str) -> Iterator[Piece]:
        rest = Piece("", max(0, min(self._made, self._max_tokens) - self._said))
        if reason == "refusal":
            yield self._with_prompt(rest)
            raise anthropic_errors.refused(self._why or "stop_reason refusal")
        end = _ENDS.get(reason, "stop")
        if self._any_json and end == "tool_calls":
            end = "stop"
        yield self._with_prompt(replace(rest, finish_reason=end))

    def _with_prompt(self, piece: Piece) -> Piece:
        prompt, self._prompt = self._prompt, {}
        return replace(piece, **prompt)
