"""What a demo is shown on."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from ledger.errors import ApexError
from ledger.messages import Event, Result


class Screen(AbstractContextManager[None], Protocol):
    """Hears of everything that happens, as it happens."""

    def say(self, text: str) -> None:
        """A line about the demo itself."""
        ...

    def begin(self, title: str) -> None:
        """An act begins; what the agents said before is over."""
        ...

    def hear(self, agent: str, event: Event) -> None:
        """A part of the agent's answer."""
        ...

    def end(self, agent: str, end: Result | ApexError) -> None:
        """The agent is done."""
        ...
