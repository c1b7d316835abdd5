"""What budget levels must hold, in plain Python: the model that the scripts are compared with."""

from __future__ import annotations

from collections.abc import Sequence

from ledger.errors import BudgetExceeded
from ledger.levels import Level
from ledger.windows import WINDOWS, Window

NEVER = 10**9  # tokens that nobody holds

Limits = dict[Window | None, int]  # by window; None: the total


class ModelAccount:
    """One level: tokens used and held, limits, and what each window has seen since it turned."""

    def __init__(self, level: Level) -> None:
        self.level = level
        self.used = self.held = 0
        self.was_held = False
        self.was_set: Limits = {}
        limits = level.default.limits if level.default else ()
        self.defaults: Limits = {
            window: limit
            for window, limit in zip((None, *WINDOWS), limits, strict=False)
            if limit is not None
        }
        self.seen: dict[Window, int] = dict.fromkeys(self._windows(self.defaults), 0)

    @property
    def limits(self) -> Limits:
        """The limits in force, in the order in which they are looked at."""
        both = {**self.defaults, **self.was_set}
        return {window: both[window] for window in (None, *WINDOWS) if window in both}

    def used_in(self, window: Window | None) -> int:
        """Tokens used in all, or in the window that it is now."""
        return self.used if window is None else self.seen[window]

    @property
    def room(self) -> int:
        """Tokens that every limit has room for."""
        rooms = [limit - self.used_in(window) for window, limit in self.limits.items()]
        return min(rooms, default=NEVER) - self.held

    def refusal(self, tokens: int) -> BudgetExceeded | None:
        """What so many tokens more are answered with, if they do not fit."""
        for window, limit in self.limits.items():
            used = self.used_in(window)
            if used + self.held + tokens > limit:
                return BudgetExceeded.of(
                    self.level.name, limit, used, self.held, tokens, window=window
                )
        return None

    def hold(self, tokens: int) -> None:
        """So many tokens more are held, or fewer."""
        self.held += tokens
        self.was_held = True

    def settle(self, cost: int, held: int) -> None:
        """A job ends that held tokens and cost others."""
        self.held -= held
        self.used += cost
        for window in self.seen:
            self.seen[window] += cost

    def turn(self, window: Window) -> None:
        """The next window begins: nothing is used in it, and what is held still is."""
        if window in self.seen:
            self.seen[window] = 0

    def set(self, window: Window | None, limit: int) -> None:
        """A limit is set. A window that was not counted begins with nothing used."""
        self.was_set[window] = limit
        if window is not None:
            self.seen.setdefault(window, 0)

    def reset(self) -> None:
        """The limits that were set are taken back."""
        self.was_set = {}
        if not self.was_held:
            self.seen = dict.fromkeys(self._windows(self.defaults), 0)

    def fits(self, limits: Limits) -> bool:
        """Whether what is used and held would be within other limits."""
        return all(
            self.used_in(window) + self.held <= limit
            for window, limit in limits.items()
            if window is None or window in self.seen
        )

    @staticmethod
    def _windows(limits: Limits) -> Sequence[Window]:
        return [window for window in limits if window is not None]
