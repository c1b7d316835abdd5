"""Budget levels as accounts: their limits and tokens as they are, and limits that are set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ledger import keys, windows
from ledger.budget_spec import BudgetSpec
from ledger.levels import Level
from ledger.scripts import Call
from ledger.windows import WINDOWS, Window


@dataclass(frozen=True, slots=True)
class WindowAccount:
    """Tokens used in the present window; ``resets_at`` is when it ends (UTC, ISO 8601).

    ``was_set``: the limit was set in Redis; otherwise it is the settings'.
    """

    window: Window
    used: int
    limit: int
    resets_at: str
    was_set: bool


@dataclass(frozen=True, slots=True)
class Account:
    """Tokens of a budget level; ``limit`` is None where there is none.

    ``windows`` are those that have a limit, the longest first; what is held counts in each.
    ``was_set``: that limit was set in Redis; otherwise it is the settings'.
    """

    used: int
    held: int
    limit: int | None
    was_set: bool = False
    windows: tuple[WindowAccount, ...] = ()


def read_accounts(levels: Sequence[Level]) -> Call[list[Account]]:
    """The tokens of each budget level, in order."""

    def read(reply: list[Any]) -> list[Account]:
        *rows, now_ms = reply
        return [_account_of(level, row, now_ms) for level, row in zip(levels, rows, strict=True)]

    return Call("read_accounts", [level.key for level in levels], [], read)


def _account_of(level: Level, row: list[str | None], now_ms: int) -> Account:
    used, held, total, *rest = (None if value is None else int(value) for value in row)
    defaults = level.default.limits if level.default else (None,) * (1 + len(WINDOWS))
    found = []
    for number, window in enumerate(WINDOWS):
        own, spent, at = rest[3 * number : 3 * number + 3]
        limit = defaults[number + 1] if own is None else own
        if limit is not None:
            if spent is None or at != windows.index(window, now_ms):
                spent = 0
            turn = windows.next_turn(window, now_ms).isoformat()
            found.append(WindowAccount(window, spent, limit, turn, own is not None))
    limit = defaults[0] if total is None else total
    return Account(used or 0, held or 0, limit, total is not None, tuple(found))


def set_budget(level: Level, spec: BudgetSpec) -> Call[None]:
    """Sets limits of a level; those that ``spec`` leaves out stay as they are."""
    return _change(level, ["" if limit is None else limit for limit in spec.limits])


def reset_budget(level: Level) -> Call[None]:
    """Takes back every limit that was set; the settings' count again. Tokens stay counted."""
    return _change(level, [])


def _change(level: Level, limits: Sequence[int | str]) -> Call[None]:
    # A session and an episode go by themselves; only what stays is worth a list.
    listed = [keys.budgets_set(level.ids[0])] if level.keep_s is None else []
    name = f"{level.scope}:{level.ids[-1]}"
    return Call("set_budget", [level.key, *listed], [name, level.keep_arg, *limits], lambda _: None)


def read_set_budgets(tenant: str) -> Call[list[tuple[str, str]]]:
    """Scope and id of each of a tenant's levels for which a limit was set, sorted.

    Sessions and episodes are not among them: they go after a while by themselves.
    """

    def read(names: list[str]) -> list[tuple[str, str]]:
        parts = (name.partition(":") for name in sorted(names))
        return [(scope, own_id) for scope, _, own_id in parts]

    return Call("read_set_budgets", [keys.budgets_set(tenant)], [], read)
