"""What a model reads of a session before a request, and what the session keeps of it."""

from __future__ import annotations

from budgets.context import turns_that_fit
from ledger import sessions
from ledger.answer import Answer
from ledger.jobs import Claim
from ledger.messages import Request
from ledger.redis_client import Ledger
from ledger.sessions import NewTurn
from ledger.settings import Settings
from workers.backends import Backend
from workers.persist import persist


def with_history(
    ledger: Ledger, backend: Backend, claim: Claim, request: Request
) -> Request | None:
    """The request with as many of its session's latest turns before it as the window takes.

    Reads the session, one round trip. What the window has to keep free is the answer,
    ``max_tokens``. None when the fence is no longer the job's.

    Raises:
        CorruptEntry: the session is damaged.
    """
    session = persist(ledger, sessions.recall(claim.job_id, request, fence=claim.fence))
    if session is None:
        return None
    window, turns = backend.abilities.window, len(session.turns)
    if window:
        turns = turns_that_fit(
            turns,
            window - request.max_tokens,
            lambda latest: backend.count_tokens(session.before(request, latest)),
        )
    return session.before(request, turns)


def turn_of(job_id: str, request: Request, answer: Answer, settings: Settings) -> NewTurn:
    """What the session of a request that was answered keeps of it."""
    return sessions.new_turn(
        job_id,
        request,
        answer.text,
        tool_calls=answer.tool_calls,
        turns=settings.session_max_turns,
        size=settings.session_max_bytes,
        retention_ms=int(settings.session_retention_s * 1000),
    )
