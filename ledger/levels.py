"""A budget level: one hash in Redis that a job's tokens are held and charged in."""

from __future__ import annotations

from dataclasses import dataclass

from ledger import keys
from ledger.budget_spec import BudgetSpec


@dataclass(frozen=True, slots=True)
class Level:
    """``tenant:acme`` and the like.

    ``default``: its limits while Redis has none; a limit that was set in Redis beats its own.
    ``keep_s``: seconds that it outlives its last hold; None: for ever.
    """

    scope: str
    ids: tuple[str, ...]
    default: BudgetSpec | None = None
    keep_s: float | None = None

    @property
    def key(self) -> str:
        """The hash with ``limit``, ``used`` and ``held``."""
        return keys.budget(self.scope, *self.ids)

    @property
    def name(self) -> str:
        """As shown to people: the scope and its own id."""
        return f"{self.scope}:{self.ids[-1]}"

    @property
    def limit_arg(self) -> str:
        """The default limits as the scripts take them: ``1000`` or ``1000:month:day:hour``."""
        if self.default is None:
            return ""
        total, *windows = ["" if limit is None else str(limit) for limit in self.default.limits]
        return ":".join([total, *windows]) if any(windows) else total

    @property
    def keep_arg(self) -> str:
        """Milliseconds that it is kept, as the scripts take them."""
        return "" if self.keep_s is None else str(int(self.keep_s * 1000))
