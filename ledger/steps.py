"""Operations of several round trips, written once: a generator yields calls and is sent answers.

The sync and the asyncio client drive the same generators: the "sans-I/O" way of h11 and wsproto.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

from ledger.errors import ApexError
from ledger.redis_client import AsyncLedger, Ledger
from ledger.scripts import Call

T = TypeVar("T")

Steps = Generator[Call[Any], Any, T]


def drive(ledger: Ledger, steps: Steps[T]) -> T:
    """Makes the calls of ``steps`` and returns what it returns; a call's error is raised in it."""
    try:
        call = next(steps)
        while True:
            try:
                answer = ledger.run(call)
            except ApexError as error:
                call = steps.throw(error)
            else:
                call = steps.send(answer)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]


async def drive_async(ledger: AsyncLedger, steps: Steps[T]) -> T:
    """As :func:`drive`, for asyncio."""
    try:
        call = next(steps)
        while True:
            try:
                answer = await ledger.run(call)
            except ApexError as error:
                call = steps.throw(error)
            else:
                call = steps.send(answer)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
