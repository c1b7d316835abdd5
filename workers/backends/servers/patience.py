"""Waiting for a server that may start later than its worker, or be out of reach for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ledger.errors import BackendError
from workers.backends.base import Say

LOOK_AGAIN_S = 1.0

T = TypeVar("T")


async def until_it_answers(ask: Callable[[], Awaitable[T]], most_s: float, say: Say) -> T:
    """What ``ask`` returns; it is asked again while its errors may pass, each of them said once.

    Raises:
        BackendError: one that does not pass, or the last one after ``most_s`` seconds.
    """
    until, said = time.monotonic() + most_s, ""
    while True:
        try:
            return await ask()
        except BackendError as error:
            if not error.facts.get("retriable") or time.monotonic() >= until:
                raise
            if error.message != said:
                said = error.message
                say(f"waiting for the server: {said}")
        await asyncio.sleep(LOOK_AGAIN_S)
