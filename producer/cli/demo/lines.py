"""The demo without a terminal: plain lines, or none."""

from __future__ import annotations

from types import TracebackType

from ledger.errors import ApexError
from ledger.messages import Event, Result
from producer.cli.output import printable, say

WORDS = 5  # in a line, so that lines of agents who talk at once alternate


class Lines:
    """``[Planner] First we list the steps,`` and so on."""

    def __init__(self) -> None:
        self._unsaid: dict[str, str] = {}

    def say(self, text: str) -> None:
        """A line about the demo itself."""
        say(text)

    def begin(self, title: str) -> None:
        """A heading."""
        say(f"\n--- {title} ---")

    def hear(self, agent: str, event: Event) -> None:
        """Prints every few words."""
        if event.kind == "reset":
            self._line(agent, "(begins anew)")
            self._unsaid[agent] = ""
        self._unsaid[agent] = self._unsaid.get(agent, "") + event.text
        if len(self._unsaid[agent].split()) >= WORDS:
            self._flush(agent)

    def end(self, agent: str, end: Result | ApexError) -> None:
        """Prints the words that are left, and an error."""
        self._flush(agent)
        if isinstance(end, ApexError):
            self._line(agent, f"failed: {end.message}")

    def _flush(self, agent: str) -> None:
        words = self._unsaid.pop(agent, "").split()
        if words:
            self._line(agent, " ".join(words))

    def _line(self, agent: str, text: str) -> None:
        say(f"[{agent}] {printable(text)}")

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass


class Nothing(Lines):
    """For ``--json``: all is said at the end."""

    def say(self, text: str) -> None:
        """Nothing."""

    def begin(self, title: str) -> None:
        """Nothing."""

    def hear(self, agent: str, event: Event) -> None:
        """Nothing."""

    def end(self, agent: str, end: Result | ApexError) -> None:
        """Nothing."""
