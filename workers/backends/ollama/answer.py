"""What Ollama streams, as pieces of an answer."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal

from ledger.errors import BackendError
from ledger.messages import TokenLogprob
from workers.backends.base import Piece
from workers.backends.servers.joined import joined
from workers.backends.servers.logprob import logprobs_of

NOTHING = Piece("", 0)


class OllamaAnswer:
    """Counts one answer while it comes.

    Ollama sends about a token a line and says at the end how many there were. That end also has
    the prompt's count, and nobody reads on once ``max_tokens`` are there: what would complete them
    waits for it.
    """

    def __init__(self, max_tokens: int, *, logprobs: int | None, continues: bool) -> None:
        """
        Args:
            max_tokens: never are more counted.
            logprobs: alternatives of each token, where they were asked for.
            continues: the answer was begun, and the server counts that part as prompt.
        """
        self._max_tokens, self._top, self._continues = max_tokens, logprobs, continues
        self._said = 0  # tokens, of the pieces that are out
        self._calls = 0

    def pieces(self, lines: Iterator[Mapping[str, Any]]) -> Iterator[Piece]:
        """The answer's pieces.

        Raises:
            BackendError: the answer has no end.
        """
        held = NOTHING
        for line in lines:
            piece = joined(held, self._piece(line))
            if line.get("done"):
                with suppress(BackendError):  # a connection that was read to its end is used again
                    for _ in lines:
                        pass
                yield self._end(piece, line)
                return
            if self._said + piece.tokens >= self._max_tokens:
                held = piece
            elif piece != NOTHING:
                self._said += piece.tokens
                yield piece
        raise BackendError(
            "Ollama ended the connection in the midst of the answer.",
            backend="ollama",
            retriable=True,
        )

    def _piece(self, line: Mapping[str, Any]) -> Piece:
        # /api/chat has a message, /api/generate has its parts beside the rest.
        message = line.get("message") or line
        text = message.get("content") or message.get("response") or ""
        reasoning = message.get("thinking") or ""
        calls = tuple(self._call(call) for call in message.get("tool_calls") or ())
        logprobs: tuple[TokenLogprob, ...] = ()
        tokens = int(bool(text or reasoning or calls))
        if self._top is not None:
            logprobs = logprobs_of(line.get("logprobs"), self._top)
            tokens = len(logprobs)
        return Piece(text, tokens, logprobs=logprobs, reasoning=reasoning, tool_calls=calls)

    def _call(self, call: Mapping[str, Any]) -> dict[str, Any]:
        """A call as a delta of OpenAI's form; Ollama sends each as a whole."""
        function = call.get("function") or {}
        arguments = json.dumps(function.get("arguments") or {}, ensure_ascii=False)
        index, self._calls = self._calls, self._calls + 1
        return {
            "index": index,
            "id": call.get("id") or f"call_{uuid.uuid4().hex[:12]}",  # older servers have none
            "type": "function",
            "function": {"name": function.get("name", ""), "arguments": arguments},
        }

    def _end(self, piece: Piece, line: Mapping[str, Any]) -> Piece:
        tokens = piece.tokens
        # Its count has the token that ended the answer too, which has no logprobs.
        if self._top is None or not self._said + tokens:
            tokens = max(tokens, int(line.get("eval_count") or 0) - self._said)
        # Of an answer that was gone on from, the prompt's count has the part before.
        prompt = None if self._continues else line.get("prompt_eval_count")
        return replace(
            piece,
            tokens=min(tokens, self._max_tokens - self._said),
            finish_reason=self._reason(line),
            prompt_tokens=prompt,
            cached_tokens=int(line.get("prompt_eval_cached_count") or 0),
        )

    def _reason(self, line: Mapping[str, Any]) -> Literal["stop", "length", "tool_calls"]:
        if line.get("done_reason") == "length":
            return "length"
        return "tool_calls" if self._calls else "stop"
