"""The budget levels that a job is held and charged in."""

from __future__ import annotations

from typing import Protocol

from ledger.budget_spec import refuse_unknown_scope, require_role
from ledger.levels import Level
from ledger.roles import role_of
from ledger.settings import Settings


class Payer(Protocol):
    """Whose tokens are spent: a request, or a job as the ledger holds it."""

    @property
    def tenant(self) -> str: ...
    @property
    def agent_id(self) -> str: ...
    @property
    def session_id(self) -> str | None: ...
    @property
    def episode_id(self) -> str | None: ...


def levels_of(payer: Payer, settings: Settings) -> list[Level]:
    """Tenant, agent, and where the payer has them role, session and episode.

    Which levels there are depends on the payer alone: a producer and a worker with different
    settings still hold and release the same ones. Only default limits come from the settings.
    """
    tenant, agent = payer.tenant, payer.agent_id
    found = [tenant_level(tenant, settings), agent_level(tenant, agent, settings)]
    role = role_of(agent)
    if role is not None:
        found.append(role_level(tenant, role, settings))
    if payer.session_id is not None:
        found.append(session_level(tenant, agent, payer.session_id, settings))
    if payer.episode_id is not None:
        found.append(episode_level(tenant, payer.episode_id, settings))
    return found


def tenant_level(tenant: str, settings: Settings) -> Level:
    """The budget of all that a tenant does."""
    return Level("tenant", (tenant,), settings.budget("tenant", tenant))


def agent_level(tenant: str, agent_id: str, settings: Settings) -> Level:
    """The budget of one agent of a tenant."""
    return Level("agent", (tenant, agent_id), settings.budget("agent", agent_id))


def role_level(tenant: str, role: str, settings: Settings) -> Level:
    """The budget of a standard role: of the tenant's agents that have its name, in any case."""
    return Level("role", (tenant, role), settings.budget("role", role))


def session_level(tenant: str, agent_id: str, session_id: str, settings: Settings) -> Level:
    """The budget of one session of an agent."""
    spec = settings.budget("session", session_id)
    return Level("session", (tenant, agent_id, session_id), spec, settings.session_retention_s)


def episode_level(tenant: str, episode_id: str, settings: Settings) -> Level:
    """The budget of one episode of a tenant."""
    spec = settings.budget("episode", episode_id)
    return Level("episode", (tenant, episode_id), spec, settings.session_retention_s)


def level_named(
    tenant: str, scope: str, own_id: str, agent_id: str | None, settings: Settings
) -> Level:
    """The level of a scope and an id, as people name it; ``agent_id``: whose session it is.

    Raises:
        ValueError: there is no such scope or role, or a session has no agent; one sentence.
    """
    refuse_unknown_scope(scope)
    if (agent_id is not None) != (scope == "session"):
        raise ValueError(
            "a session belongs to an agent: say which one by agent_id"
            if scope == "session"
            else f"agent_id is for sessions; leave it out for the {scope} {own_id!r}"
        )
    match scope:
        case "tenant":
            return tenant_level(own_id, settings)
        case "agent":
            return agent_level(tenant, own_id, settings)
        case "role":
            return role_level(tenant, require_role(own_id), settings)
        case "session":
            return session_level(tenant, agent_id or "", own_id, settings)
    return episode_level(tenant, own_id, settings)
