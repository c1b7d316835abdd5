"""What a reader of a job's events has in the end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from ledger.messages import Event, TokenLogprob
from ledger.tool_calls import put_together


class Answer(NamedTuple):
    """What a reader of a job's events has in the end; its tool calls are put together."""

    text: str = ""
    tokens: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()
    reasoning: str = ""
    tool_calls: tuple[dict[str, Any], ...] = ()

    @property
    def is_text_alone(self) -> bool:
        """Whether the text says all of it, so that a model can go on from there."""
        return not (self.reasoning or self.tool_calls)

    @property
    def fields(self) -> dict[str, Any]:
        """Those of a record that it fills."""
        own = self._asdict()
        del own["tokens"]
        return own

    def then(self, more: Answer) -> Answer:
        """This answer and what was made after it, which has tool calls of its own."""
        return Answer(
            self.text + more.text,
            self.tokens + more.tokens,
            self.logprobs + more.logprobs,
            self.reasoning + more.reasoning,
            self.tool_calls + more.tool_calls,
        )


class Parts:
    """An answer while its events come in."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self.tokens = 0
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._logprobs: list[TokenLogprob] = []
        self._calls: list[dict[str, Any]] = []

    def add(self, event: Event) -> None:
        """Takes the next event; a reset makes void what came before."""
        if event.kind == "reset":
            self._clear()
        self.tokens += event.tokens
        self._texts.append(event.text)
        self._thoughts.append(event.reasoning)
        self._logprobs += event.logprobs
        self._calls += event.tool_calls

    def answer(self) -> Answer:
        """What they are together."""
        return Answer(
            "".join(self._texts),
            self.tokens,
            tuple(self._logprobs),
            "".join(self._thoughts),
            put_together(self._calls),
        )


def answer_of(events: Iterable[Event]) -> Answer:
    """The answer in ``events``: what came after their last reset."""
    parts = Parts()
    for event in events:
        parts.add(event)
    return parts.answer()


def text_of(events: Iterable[Event]) -> str:
    """The text that a reader of ``events`` has in the end."""
    return answer_of(events).text
