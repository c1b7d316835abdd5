"""Answers from the cache: requests that were answered before get neither queue nor budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ledger import cache
from ledger.cache_files import CacheFiles
from ledger.cache_key import key_of, takes_part
from ledger.errors import ApexError, InvalidRequest
from ledger.messages import Request
from ledger.scripts import Call
from ledger.settings import Settings
from producer.routes import Routes


def marked(request: Request, settings: Settings) -> Request:
    """The request, with ``cache`` as it is meant where that was not said.

    Raises:
        InvalidRequest: it asks for the cache and for history.
    """
    if request.cache and request.history:
        raise InvalidRequest(
            "cache and history exclude one another: an answer with history belongs to its "
            "session; leave one of them out."
        )
    if takes_part(request, settings):
        return request if request.cache else request.model_copy(update={"cache": True})
    return request.model_copy(update={"cache": None}) if request.cache else request


class Answers:
    """Describes the calls that answer requests from the cache."""

    def __init__(self, settings: Settings, routes: Routes) -> None:
        self._settings, self._routes = settings, routes
        self._files = CacheFiles.of(settings)

    def call_for(self, job_id: str, request: Request, body: str) -> Call[bool] | None:
        """What makes this an answered job, or reads as False: it is to be submitted.

        None where there is nothing to ask: the request has no part in the cache, or the instance
        that it belongs to keeps no answers.

        Raises:
            NoInstance, UnknownModel
        """
        if not request.cache:
            return None
        home = self._routes.home_of(request)
        if not home.fingerprint:
            return None
        key = key_of(request, home.fingerprint)
        return cache.answer(
            job_id,
            request,
            body,
            key,
            instance=home.name,
            max_attempts=self._settings.max_attempts,
            retention_ms=int(self._settings.retention_s * 1000),
            kept=self._files.read(key) if self._files else None,
        )


@dataclass(frozen=True, slots=True)
class Lookup:
    """The call that answers the order in this place from the cache, if it can."""

    place: int
    call: Call[Any]


def answered(lookups: Sequence[Lookup], replies: Sequence[bool | Exception]) -> set[int]:
    """The places that need no submit any more.

    Where a look-up failed, the order is submitted, which says of it alone what is wrong. An error
    that is not ours is raised.
    """
    found = set()
    for lookup, reply in zip(lookups, replies, strict=True):
        if isinstance(reply, Exception):
            if not isinstance(reply, ApexError):
                raise reply
        elif reply:
            found.add(lookup.place)
    return found
