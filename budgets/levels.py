"""The budget levels that a request is held and charged in."""

from __future__ import annotations

from ledger.levels import Level
from ledger.messages import Request
from ledger.settings import Settings


def levels_of(request: Request, settings: Settings) -> list[Level]:
    """Tenant, agent, and where the request names them session and episode.

    Which levels there are depends on the request alone: a producer and a worker with different
    settings still hold and release the same ones. Only default limits come from the settings.
    """
    tenant, agent = request.tenant, request.agent_id
    found = [
        tenant_level(tenant, settings),
        Level("agent", (tenant, agent), _agent_limit(agent, settings)),
    ]
    if request.session_id is not None:
        session = request.session_id
        found.append(Level("session", (tenant, agent, session), settings.limit("session", session)))
    if request.episode_id is not None:
        found.append(episode_level(tenant, request.episode_id, settings))
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
