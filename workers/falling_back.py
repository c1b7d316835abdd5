"""How a job goes on with another model, where its own cannot answer it."""

from __future__ import annotations

import logging

from ledger import jobs, status
from ledger.answer import Answer
from ledger.errors import ApexError
from ledger.jobs import Claim
from ledger.messages import Request
from routing.fallback import next_home
from routing.registry import read_registry
from workers.persist import persist
from workers.place import Place
from workers.reason import reason, told

log = logging.getLogger(__name__)

TRIES = 3  # instances that come and go at this very moment


def fall_back(place: Place, claim: Claim, request: Request, error: ApexError, made: Answer) -> str:
    """Gives a job that ended with ``error`` to the next model of the chains in the settings,
    ``made`` becoming void.

    Returns ``queued``, ``stopped`` or ``fenced``, as a requeue; empty where no other model can be
    tried, or where the request is for this instance alone.
    """
    settings, own = place.settings, place.spec.served_model
    if not settings.fallbacks or request.instance is not None:
        return ""
    entry = persist(place.ledger, status.read_job(claim.job_id))
    tried = entry.facts.tried if entry else ()
    if own not in tried:
        tried = (*tried, own)
    for _ in range(TRIES):
        registry = persist(place.ledger, read_registry())
        home = next_home(settings.fallbacks, tried, registry, request.agent_id, settings.absent_s)
        if home is None:
            return ""
        model, instance = home
        call = jobs.fall_back(
            claim.job_id,
            fence=claim.fence,
            source=place.spec.name,
            target=instance,
            model=model,
            tried=tried,
            reason=f"{reason(error)}; {model} is tried next",
            begins_anew=made != Answer(),
        )
        answer = persist(place.ledger, call)
        if answer == "queued":
            log.warning("job %s: %s; %s on %s is next", claim.job_id, told(error), model, instance)
        if answer != "closed":
            return answer
    return ""
