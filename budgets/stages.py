"""Stage budgets: an agent works in numbered stages, and later ones get less.

From the Felix parallel processing guide; in completion tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType

from ledger.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class StageBudget:
    """Tokens of one kind of agent: ``base`` in all its stages, ``per_stage`` at most in each."""

    base: int
    per_stage: int


BUDGETS: Mapping[str, StageBudget] = MappingProxyType(
    {
        "research": StageBudget(400, 150),
        "analysis": StageBudget(350, 120),
        "synthesis": StageBudget(300, 100),
        "critic": StageBudget(250, 80),
    }
)


def share_of(stage: int) -> float:
    """The part of the per-stage maximum that a stage gets: all, from 3 on 75 %, from 5 on 50 %."""
    return 1.0 if stage <= 2 else 0.75 if stage <= 4 else 0.5


def allowance(stage: int, *, per_stage: int, left: int, min_budget: int) -> int:
    """Tokens that a stage which begins now may spend.

    The per-stage maximum times the stage's share, and at least ``min_budget``; never more than what
    is ``left`` of the base.
    """
    return min(left, max(int(per_stage * share_of(stage)), min_budget))


def kind_of(agent_type: str) -> str:
    """The type of this name, in any case.

    Raises:
        InvalidRequest: there is none.
    """
    kind = agent_type.casefold() if isinstance(agent_type, str) else ""
    if kind not in BUDGETS:
        near = get_close_matches(kind, BUDGETS, n=1)
        raise InvalidRequest(
            f"agent_type: there is no {agent_type!r}; known: {', '.join(BUDGETS)}"
            + (f"; did you mean {near[0]!r}?" if near else ".")
        )
    return kind
