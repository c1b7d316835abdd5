"""Backends that do what they are told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ledger.messages import Request
from workers.backends import OPTIONS, Piece, Run
from workers.backends.base import Abilities

PROMPT_TOKENS = 3
STOP = Piece("", 0, "stop")

Step = Piece | Callable[[], None] | BaseException


@dataclass
class Script:
    """A backend that does what it is told: yields pieces, calls functions, raises."""

    steps: list[Step]
    abilities: Abilities = field(
        default_factory=lambda: Abilities(continues=True, options=frozenset(OPTIONS))
    )
    prompt_tokens: int = PROMPT_TOKENS
    runs: list[Run] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def load(self) -> None: ...
    def close(self) -> None: ...
    def health(self) -> str:
        return ""

    def count_tokens(self, request: Request) -> int:
        return self.prompt_tokens

    def stream(self, run: Run) -> Iterator[Piece]:
        self.runs.append(run)
        try:
            for step in self.steps:
                if isinstance(step, Piece):
                    yield step
                elif isinstance(step, BaseException):
                    raise step
                else:
                    step()
        finally:
            self.ended.set()


class Letters(Script):
    """A backend that continues: its answer is always the same letters, one token each.

    At a number ``at`` it calls a function first. After each ``burst`` it takes a breath.
    """

    def __init__(
        self, answer: str, at: dict[int, Callable[[], None]] | None = None, burst: int = 1000
    ) -> None:
        super().__init__([])
        self.answer, self.at, self.burst = answer, at or {}, burst

    def stream(self, run: Run) -> Iterator[Piece]:
        self.runs.append(run)
        for index in range(len(run.continue_from), len(self.answer)):
            self.at.pop(index, lambda: None)()
            yield Piece(self.answer[index])
            if index % self.burst == self.burst - 1:
                run.stop.wait(0.002)
        yield Piece("", 0, "stop")

    def stopped(self) -> None:
        """A step that waits until the run is told to stop."""
        assert self.runs[-1].stop.wait(10)


def pieces(*texts: str) -> list[Step]:
    return [Piece(text) for text in texts]


def never() -> Script:
    """A backend that must not be asked."""
    return Script([AssertionError("it ran")])
