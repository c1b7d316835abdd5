"""Reading a job's events: replay from a cursor, then follow. A reader may come late or come back.

Pub/sub announces each event at once but loses what nobody listened to; the stream keeps everything.
A reader subscribes first, replays the stream from its cursor, and then follows what is announced.
A gap in the sequence numbers, or silence, sends it back to the stream. So does a lost connection: a
reader that Redis has answered goes on where it was, once Redis is back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from ledger import keys
from ledger.errors import CorruptEntry, JobNotFound, RedisUnavailable, ResultTimeout
from ledger.messages import Event
from ledger.outage import Outage
from ledger.redis_client import AsyncLedger, Ledger
from ledger.status import JobEntry, read_job

SILENCE_S = 1.0  # after that long without an announcement the stream itself is asked
FIRST_SILENCE_S = 0.05  # whether there is such a job is asked late: who has just submitted knows
PAGE = 500


@dataclass(slots=True)
class Cursor:
    """Which events a reader has seen: all up to ``seq``."""

    job_id: str
    seq: int = 0
    ended: bool = False

    def next_of(self, announced: str | None) -> Event | None:
        """The announced event if it is the next one; None if it was seen or there is a gap."""
        if announced is None:
            return None
        number, _, body = announced.partition(" ")
        if int(number) != self.seq + 1:
            return None
        return self.take(number, body)

    def missed(self, announced: str) -> bool:
        """True if events lie between the cursor and the announced one."""
        return int(announced.partition(" ")[0]) > self.seq + 1

    def take(self, number: str, body: str) -> Event:
        """Moves on to the event ``number`` and returns it."""
        try:
            event = Event.model_validate_json(f'{{"seq":{int(number)},{body[1:]}')
        except ValueError as error:
            raise CorruptEntry(job_id=self.job_id) from error
        self.seq, self.ended = event.seq, event.kind == "end"
        return event

    def page(self, entries: list[Any]) -> list[Event]:
        """The events of one XRANGE answer."""
        return [
            self.take(entry.partition("-")[0], fields.get("e", "")) for entry, fields in entries
        ]


def follow(
    ledger: Ledger, job_id: str, *, after: int = 0, timeout_s: float | None = None
) -> Iterator[Event]:
    """Yields the job's events after ``after`` until its ``end``, as they come.

    Raises:
        JobNotFound: there is no such job.
        ResultTimeout: no end within ``timeout_s`` seconds.
        RedisUnavailable: Redis does not answer.
    """
    cursor, patience = Cursor(job_id, after), Patience(job_id, timeout_s)
    outage = Outage()
    while not cursor.ended:
        try:
            yield from _follow(ledger, cursor, patience, outage)
        except RedisUnavailable as error:
            time.sleep(patience.slice_s(outage.pause_s(error)))


def _follow(ledger: Ledger, cursor: Cursor, patience: Patience, outage: Outage) -> Iterator[Event]:
    """The events after the cursor, over one connection."""
    with ledger.subscription(keys.stream(cursor.job_id)) as announcements:
        announced: str | None = None
        waited = False
        while True:
            seen = cursor.seq
            yield from _fresh(ledger, cursor, announced)
            if announced is None and cursor.seq == seen and waited:
                yield from _closing(ledger, cursor)
            outage.over()
            if cursor.ended:
                return
            longest_s = SILENCE_S if waited else FIRST_SILENCE_S
            waited, announced = True, announcements.next(patience.slice_s(longest_s))


def _fresh(ledger: Ledger, cursor: Cursor, announced: str | None) -> Iterator[Event]:
    """The announced event, or all that the stream has when that is not the next one."""
    event = cursor.next_of(announced)
    if event is not None:
        yield event
    elif announced is None or cursor.missed(announced):
        yield from _pages(ledger, cursor)


def _closing(ledger: Ledger, cursor: Cursor) -> Iterator[Event]:
    """The last events of a job that turns out to have ended; none of one that goes on."""
    ended = _end_of(cursor.job_id, ledger.run(read_job(cursor.job_id)))
    if ended is not None:
        yield from _pages(ledger, cursor)  # what came between the two looks
        if not cursor.ended:
            cursor.ended = True
            yield ended


def replay(ledger: Ledger, job_id: str, *, after: int = 0) -> Iterator[Event]:
    """The events that the stream holds now, after ``after``."""
    return _pages(ledger, Cursor(job_id, after))


def _pages(ledger: Ledger, cursor: Cursor) -> Iterator[Event]:
    while True:
        with ledger.translated():
            entries: Any = ledger.redis.xrange(
                keys.stream(cursor.job_id), min=f"{cursor.seq + 1}-0", count=PAGE
            )
        yield from cursor.page(entries)
        if len(entries) < PAGE:
            return


async def follow_async(
    ledger: AsyncLedger, job_id: str, *, after: int = 0, timeout_s: float | None = None
) -> AsyncGenerator[Event, None]:
    """As :func:`follow`, for asyncio."""
    cursor, patience = Cursor(job_id, after), Patience(job_id, timeout_s)
    outage = Outage()
    while not cursor.ended:
        try:
            async with aclosing(_follow_async(ledger, cursor, patience, outage)) as events:
                async for event in events:
                    yield event
        except RedisUnavailable as error:
            await asyncio.sleep(patience.slice_s(outage.pause_s(error)))


async def _follow_async(
    ledger: AsyncLedger, cursor: Cursor, patience: Patience, outage: Outage
) -> AsyncGenerator[Event, None]:
    async with ledger.subscription(keys.stream(cursor.job_id)) as announcements:
        announced: str | None = None
        waited = False
        while True:
            seen = cursor.seq
            async for event in _fresh_async(ledger, cursor, announced):
                yield event
            if announced is None and cursor.seq == seen and waited:
                async for event in _closing_async(ledger, cursor):
                    yield event
            outage.over()
            if cursor.ended:
                return
            longest_s = SILENCE_S if waited else FIRST_SILENCE_S
            waited, announced = True, await announcements.next(patience.slice_s(longest_s))


async def _fresh_async(
    ledger: AsyncLedger, cursor: Cursor, announced: str | None
) -> AsyncIterator[Event]:
    event = cursor.next_of(announced)
    if event is not None:
        yield event
    elif announced is None or cursor.missed(announced):
        async for event in _pages_async(ledger, cursor):
            yield event


async def _closing_async(ledger: AsyncLedger, cursor: Cursor) -> AsyncIterator[Event]:
    ended = _end_of(cursor.job_id, await ledger.run(read_job(cursor.job_id)))
    if ended is not None:
        async for event in _pages_async(ledger, cursor):
            yield event
        if not cursor.ended:
            cursor.ended = True
            yield ended


async def _pages_async(ledger: AsyncLedger, cursor: Cursor) -> AsyncIterator[Event]:
    while True:
        async with ledger.translated():
            entries: Any = await ledger.redis.xrange(
                keys.stream(cursor.job_id), min=f"{cursor.seq + 1}-0", count=PAGE
            )
        for event in cursor.page(entries):
            yield event
        if len(entries) < PAGE:
            return


@dataclass(slots=True)
class Patience:
    """How long a reader still waits, in slices after which it looks for itself."""

    job_id: str
    timeout_s: float | None
    _until: float | None = None

    def slice_s(self, longest_s: float = SILENCE_S) -> float:
        """Seconds to wait for the next announcement, ``longest_s`` at most.

        Raises:
            ResultTimeout: there are none left.
        """
        if self.timeout_s is None:
            return longest_s
        now = time.monotonic()
        if self._until is None:
            self._until = now + self.timeout_s
        if now >= self._until:
            raise ResultTimeout(job_id=self.job_id, timeout_s=self.timeout_s)
        return min(longest_s, self._until - now)


def is_end(announced: str) -> bool:
    """Whether an announcement is the job's last."""
    return '"kind":"end"' in announced[:40]


def _end_of(job_id: str, entry: JobEntry | None) -> Event | None:
    """The end of a job that has ended, for a reader whose cursor is already past it."""
    if entry is None:
        raise JobNotFound(job_id=job_id)
    state = entry.facts.state
    return Event(kind="end", state=state) if state.terminal else None
