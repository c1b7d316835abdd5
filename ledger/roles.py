"""The standard roles. An agent has one if its id is the role's name, in any case."""

from __future__ import annotations

ROLES = ("Planner", "Coder", "Runner", "Critic", "Summarizer")

_BY_FOLDED = {role.casefold(): role for role in ROLES}


def role_of(agent_id: str) -> str | None:
    """The role of an agent as it is written in :data:`ROLES`, or None."""
    return _BY_FOLDED.get(agent_id.casefold())
