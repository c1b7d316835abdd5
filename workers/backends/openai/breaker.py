"""A circuit breaker: an endpoint that fails is left alone for a while.

As in M. Nygard, "Release It!": closed, open, half open. Here an open one only stands last in the
order of choice, so that a set of endpoints which have all failed is still tried.
"""

from __future__ import annotations

from typing import Literal

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
MOST_FAILURES = 3  # in a row

State = Literal["closed", "open", "half_open"]


class Breaker:
    """The state of one endpoint; ``pause_s``: until it is probed, twice as long each time."""

    def __init__(self) -> None:
        self.state: State = "closed"
        self.pause_s = FIRST_PAUSE_S
        self._failures = 0

    @property
    def closed(self) -> bool:
        """True if requests are sent there as usual."""
        return self.state == "closed"

    def succeeded(self) -> None:
        """A request or a probe was answered."""
        self.state, self.pause_s, self._failures = "closed", FIRST_PAUSE_S, 0

    def failed(self, *, lost: bool) -> bool:
        """A request failed; ``lost``: there was no answer at all, which is enough to open.

        Returns:
            True if it opened by this.
        """
        self._failures += 1
        if self.state != "closed" or not (lost or self._failures >= MOST_FAILURES):
            return False
        self.state = "open"
        return True

    def probe(self) -> None:
        """Its pause is over: one probe is sent."""
        self.state = "half_open"

    def probe_failed(self) -> None:
        """The probe was not answered."""
        self.state = "open"
        self.pause_s = min(2 * self.pause_s, LONGEST_PAUSE_S)
