"""Standard roles have their own instances: Planner on the first, Coder on the second, and so on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ledger.roles import ROLES, role_of

__all__ = ["ROLES", "natural", "pinned"]


def natural(name: str) -> list[tuple[int, str]]:
    """Sort key that puts inst2 before inst10."""
    parts = re.split(r"([0-9]+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts] + [(-2, name)]


def pinned(agent_id: str, instances: Iterable[tuple[str, Sequence[str]]]) -> str | None:
    """The instance that the agent belongs to by its role, or None when its id is not a role's.

    Args:
        agent_id: compared with the roles whole, in any case.
        instances: name and own roles of each. An instance's own roles come before the standard
            ones, which go by number, modulo the instances in natural order.
    """
    ordered = sorted(instances, key=lambda one: natural(one[0]))
    folded = agent_id.casefold()
    for name, own in ordered:
        if folded in (one.casefold() for one in own):
            return name
    role = role_of(agent_id)
    if ordered and role is not None:
        return ordered[ROLES.index(role) % len(ordered)][0]
    return None
