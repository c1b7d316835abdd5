"""The budget levels that a job is held and charged in."""

from __future__ import annotations

from typing import Protocol

from ledger.levels import Level
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
    """Tenant, agent, and where the payer names them session and episode.

    Which levels there are depends on the payer alone: a producer and a worker with different
    settings still hold and release the same ones. Only default limits come from the settings.
    """
    tenant, agent = payer.tenant, payer.agent_id
    found = [
        tenant_level(tenant, settings),
        Level("agent", (tenant, agent), _agent_limit(agent, settings)),
    ]
    if payer.session_id is not None:
        session = payer.session_id
        found.append(Level("session", (tenant, agent, session), settings.limit("session", session)))
    if payer.episode_id is not None:
        found.append(episode_level(tenant, payer.episode_id, settings))
    return found


def tenant_level(tenant: str, settings: Settings) -> Level:
    """The budget of all that a tenant does."""
    return Level("tenant", (tenant,), settings.limit("tenant", tenant))


def episode_level(tenant: str, episode_id: str, settings: Settings) -> Level:
    """The budget of one episode of a tenant."""
    return Level("episode", (tenant, episode_id), settings.limit("episode", episode_id))


def _agent_limit(agent_id: str, settings: Settings) -> int | None:
    """The lower one of the agent's limit and that of its role, which is its id in any case."""
    role = next(
        (one for one in settings.budgets.get("role", {}) if one.casefold() == agent_id.casefold()),
        agent_id,
    )
    limits = (settings.limit("agent", agent_id), settings.limit("role", role))
    return min((limit for limit in limits if limit is not None), default=None)
