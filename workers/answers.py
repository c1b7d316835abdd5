"""Answers that are kept for equal requests."""

from __future__ import annotations

import logging

from ledger import cache
from ledger.cache import Kept
from ledger.cache_files import CacheFiles
from ledger.cache_key import CacheKey, fingerprint, key_of
from ledger.errors import ApexError
from ledger.messages import Request, Result, State
from workers.place import Place

log = logging.getLogger(__name__)


def answer_key(place: Place, request: Request) -> CacheKey | None:
    """Where the answer belongs that is made in this place; None: it is none of the cache's."""
    if not request.cache:
        return None
    own = fingerprint(place.spec, place.settings)
    return key_of(request, own) if own else None


def keep_answer(place: Place, request: Request, result: Result, tokens: int) -> None:
    """Puts the answer of a job into the cache, if it is whole; ``tokens``: it has so many.

    It comes before the job's end, so that who has read an answer finds it there. Where that fails,
    the answer is not kept, and the log says why.
    """
    key, settings = answer_key(place, request), place.settings
    if key is None or not _is_whole(result, request, tokens):
        return
    kept, files = Kept.of(result), CacheFiles.of(settings)
    if files is not None:
        files.keep(kept, request, key)
        return
    try:
        place.ledger.run(
            cache.keep(
                kept,
                request,
                key,
                ttl_ms=int(settings.cache_ttl_s * 1000),
                most_bytes=settings.cache_max_mb * 1_000_000,
            )
        )
    except ApexError as error:
        log.warning("job %s: its answer is not kept: %s", result.job_id, error)


def _is_whole(result: Result, request: Request, tokens: int) -> bool:
    """Whether an equal request would get the same; one may have been cut off by its own budget."""
    if result.state is not State.SUCCEEDED:
        return False
    if result.finish_reason == "length":
        return tokens == request.max_tokens
    return result.finish_reason in ("stop", "tool_calls")
