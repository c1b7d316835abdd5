"""A budget level: one hash in Redis that a job's tokens are held and charged in."""

from __future__ import annotations

from dataclasses import dataclass

from ledger import keys


@dataclass(frozen=True, slots=True)
class Level:
    """``tenant:acme`` and the like. ``default_limit`` (tokens) counts while Redis has none."""

    scope: str
    ids: tuple[str, ...]
    default_limit: int | None = None

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
        """The default limit as the scripts take it."""
        return "" if self.default_limit is None else str(self.default_limit)
