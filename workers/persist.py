"""Calls that must reach the ledger, however long Redis is away."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from ledger.errors import RedisUnavailable
from ledger.redis_client import Ledger
from ledger.scripts import Call

T = TypeVar("T")

log = logging.getLogger(__name__)

RETRY_S = 0.2


def persist(ledger: Ledger, call: Call[T]) -> T:
    """Makes a call that must not be given up.

    The fence makes it safe: whatever happened meanwhile, a call that came too late does nothing.
    """
    return until_back(lambda: ledger.run(call))


def until_back(step: Callable[[], T]) -> T:
    """Does ``step``, again and again for as long as Redis is away."""
    pause = threading.Event()
    warned = False
    while True:
        try:
            return step()
        except RedisUnavailable as error:
            if not warned:
                log.warning("%s Trying again until that is over.", error)
                warned = True
            pause.wait(RETRY_S)
