"""Chunks of OpenAI's streams, chat or completions, into pieces with exact counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from workers.backends.base import Piece
from workers.backends.openai.delta import Delta, Json, delta_of
from workers.backends.openai.thoughts import Thoughts
from workers.backends.servers.halves import Halves
from workers.backends.servers.joined import joined

Finish = Literal["stop", "length", "tool_calls"]
FINISHES: dict[str, Finish] = {
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}
BROKEN_OFF = ("abort", "error")  # the server gave up


class Reader:
    """Reads one stream.

    The last piece is held until the stream has ended, since what the whole answer took is told
    after it: it brings the tokens that no chunk told of.
    """

    def __init__(
        self, most: int, *, host: str, logprobs: int | None = None, whole: bool = True
    ) -> None:
        """
        Args:
            most: tokens that were asked for; never are more counted.
            host: that of the server, to which thoughts go back.
            logprobs: alternatives of each token, where they were asked for.
            whole: it is the answer from its beginning; otherwise the server counts a part of the
                answer as prompt, and what it says of that is left out.
        """
        self._most, self._top = most, logprobs
        self._thoughts, self._halves = Thoughts(host), Halves()
        self._whole = self._tells_prompt = whole
        self._usage: Json = {}
        self._waiting = Piece("", 0)  # tokens whose text has not come yet
        self._held: Piece | None = None
        self._waiting_ids: list[int] = []
        self.prompt_ids: list[int] | None = None  # where the server tells them
        self.ids: list[int] | None = []  # of all that went out; None where it does not
        self.counted = 0
        self.finish: str | None = None
        self.refusal = ""
        self._calls = False

    @property
    def complete(self) -> bool:
        """Whether the answer has come to its end; what follows can only be counts."""
        return self.finish is not None or self.counted >= self._most

    def take(self, chunk: Json) -> Iterator[Piece]:
        """The pieces that can go out now."""
        self._usage = chunk.get("usage") or self._usage
        choices = chunk.get("choices")
        if not choices:
            return
        delta = delta_of(choices[0], self._top)
        told = chunk.get("prompt_token_ids") or choices[0].get("prompt_token_ids")
        self.prompt_ids = told or self.prompt_ids
        self._waiting_ids += choices[0].get("token_ids") or ()
        self.refusal += delta.refusal
        self._calls = self._calls or bool(delta.tool_calls)
        self.finish = delta.finish_reason or self.finish
        piece = self._piece(delta, self._tokens_of(chunk, delta))
        self._waiting = Piece("", 0)
        if self._held is not None or self.complete:
            self._held = piece if self._held is None else joined(self._held, piece)
        elif delta.says_something:
            self._note_ids()
            yield self._with_prompt(piece)
        else:
            self._waiting = piece

    def last(self) -> Piece:
        """The last piece, once the stream has ended."""
        held = joined(self._waiting, self._held or Piece("", 0))
        made = min(_made(self._usage), self._most)
        missing = max(0, made - self.counted)
        self.counted += missing
        piece = replace(
            held,
            tokens=held.tokens + missing,
            finish_reason=self._end(),
            cached_tokens=self._cached(),
        )
        return self._with_prompt(piece)

    def _end(self) -> Finish:
        # OpenAI says "stop" where tool_choice names the tool, and some servers always do.
        end = FINISHES.get(self.finish or "length", "stop")
        return "tool_calls" if end == "stop" and self._calls else end

    def _tokens_of(self, chunk: Json, delta: Delta) -> int:
        """How many tokens came with this chunk, as far as it tells."""
        usage = chunk.get("usage")
        if delta.logprobs:
            new = len(delta.logprobs)
        elif usage:
            new = _made(usage) - self.counted
        else:
            new = int(delta.says_something)
        new = max(0, min(new, self._most - self.counted))
        self.counted += new
        return new

    def _note_ids(self) -> None:
        if self.ids is not None and self._waiting_ids:
            self.ids += self._waiting_ids
        else:
            self.ids = None
        self._waiting_ids = []

    def _piece(self, delta: Delta, tokens: int) -> Piece:
        new = Piece(
            delta.text,
            tokens,
            logprobs=delta.logprobs,
            reasoning=delta.reasoning,
            tool_calls=self._thoughts.in_calls(delta),
        )
        return joined(self._waiting, self._halves.whole(new))

    def _with_prompt(self, piece: Piece) -> Piece:
        prompt = self._usage.get("prompt_tokens")
        if not self._tells_prompt or not prompt:
            return piece
        self._tells_prompt = False  # once is enough
        return replace(piece, prompt_tokens=int(prompt))

    def _cached(self) -> int:
        details = self._usage.get("prompt_tokens_details") or {}
        return int(details.get("cached_tokens") or 0) if self._whole else 0


def _made(usage: Json) -> int:
    """Tokens of the answer. Some count thoughts in the total alone, as xAI and Google do."""
    told, prompt = int(usage.get("completion_tokens") or 0), int(usage.get("prompt_tokens") or 0)
    return max(told, int(usage.get("total_tokens") or 0) - prompt) if prompt else told
