"""An answer as it is made: its text on stdout; on stderr what is to be said of it, and thoughts."""

from __future__ import annotations

from ledger.messages import Event
from producer.cli.output import complain, say, stream_text, stream_thought


class Answer:
    """Prints the events of one job.

    ``low``: what is spent of the episode's tokens, in words, once they come to their end.
    """

    def __init__(self, *, with_reasoning: bool) -> None:
        self._with_reasoning = with_reasoning
        self._text = self._thought = ""  # the latest piece of each
        self._calls = False
        self.low = ""

    def print(self, event: Event) -> None:
        """Prints what the event has."""
        if event.kind == "reset":
            self._end_thoughts()
            complain("the worker was lost; another attempt begins the answer anew:")
        if event.kind == "budget_low":
            self.low = f"{event.used:,} of {event.limit:,}"
        if event.reasoning and self._with_reasoning:
            stream_thought(event.reasoning)
            self._thought = event.reasoning
        if event.text:
            self._end_thoughts()
            stream_text(event.text)
            self._text = event.text
        self._calls |= bool(event.tool_calls)

    def end(self) -> None:
        """What is said next, here or by the shell, begins a line."""
        self._end_thoughts()
        only_calls = self._calls and not self._text
        if not self._text.endswith("\n") and not only_calls:
            say()

    def _end_thoughts(self) -> None:
        if self._thought and not self._thought.endswith("\n"):
            stream_thought("\n")
        self._thought = ""
