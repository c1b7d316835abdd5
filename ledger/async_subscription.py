"""Subscriptions for asyncio: one connection carries all channels of a client.

A web app follows hundreds of jobs at once; a connection for each would be the first thing it runs
out of.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import redis.asyncio

from ledger.errors import ApexError, RedisUnavailable

CONFIRM_S = 10.0  # the connections' own time-out
POLL_S = 5.0


class AsyncSubscription:
    """What is published on one channel, from the moment that Redis confirmed it."""

    def __init__(self) -> None:
        self._arrived: asyncio.Queue[str | Exception] = asyncio.Queue()

    def put(self, arrived: str | Exception) -> None:
        """Hands over a message, or what broke the connection."""
        self._arrived.put_nowait(arrived)

    async def next(self, timeout_s: float) -> str | None:
        """The next message, or None after ``timeout_s`` seconds without one."""
        try:
            if self._arrived.empty():
                # Not wait_for: in Python 3.11 it may swallow a task's cancellation.
                async with asyncio.timeout(timeout_s):
                    arrived = await self._arrived.get()
            else:
                arrived = self._arrived.get_nowait()
        except TimeoutError:
            return None
        if isinstance(arrived, Exception):
            raise arrived
        return arrived


class AsyncSubscriptions:
    """A client's channels. One task reads their connection for as long as anybody listens."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._pubsub: Any = client.pubsub()
        self._listeners: dict[str, set[AsyncSubscription]] = {}
        self._confirmed: dict[str, asyncio.Event] = {}
        self._reading: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def to(self, channel: str) -> AsyncIterator[AsyncSubscription]:
        """Subscribes for the length of the block."""
        subscription = AsyncSubscription()
        try:
            await self._join(channel, subscription)
            yield subscription
        except Exception as error:
            if _is_away(error):  # an UNSUBSCRIBE would not be answered either
                await self._break(error)
            raise
        finally:
            await self._leave(channel, subscription)

    async def close(self) -> None:
        """Ends the task and closes the connection."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
            self._reading = None
        await self._pubsub.aclose()
        await asyncio.sleep(0)  # redis-py closes without waiting: let the loop finish that

    async def _join(self, channel: str, subscription: AsyncSubscription) -> None:
        listeners = self._listeners.setdefault(channel, set())
        listeners.add(subscription)
        if len(listeners) == 1:
            self._confirmed[channel] = asyncio.Event()
            await self._pubsub.subscribe(channel)
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read(), name="apexq-subscriptions")
        try:
            async with asyncio.timeout(CONFIRM_S):
                await self._confirmed[channel].wait()
        except TimeoutError:
            raise redis.exceptions.TimeoutError("no answer to SUBSCRIBE") from None

    async def _leave(self, channel: str, subscription: AsyncSubscription) -> None:
        listeners = self._listeners.get(channel, set())
        listeners.discard(subscription)
        if not listeners and channel in self._listeners:
            del self._listeners[channel], self._confirmed[channel]
            await self._pubsub.unsubscribe(channel)

    async def _read(self) -> None:
        """Hands out what arrives; the answer to the last UNSUBSCRIBE ends it."""
        try:
            while self._listeners:
                message = await self._pubsub.get_message(timeout=POLL_S)
                if message is not None:
                    self._hand_out(message)
        except (redis.exceptions.RedisError, OSError) as error:
            await self._break(error)

    def _hand_out(self, message: dict[str, Any]) -> None:
        channel = message["channel"]
        if message["type"] == "subscribe" and channel in self._confirmed:
            self._confirmed[channel].set()
        elif message["type"] == "message":
            for listener in self._listeners.get(channel, ()):
                listener.put(str(message["data"]))

    async def _break(self, error: Exception) -> None:
        """Tells every listener, and begins with a new connection."""
        listening = [one for listeners in self._listeners.values() for one in listeners]
        for confirmed in self._confirmed.values():
            confirmed.set()
        self._listeners, self._confirmed = {}, {}
        await self._pubsub.aclose()
        for listener in listening:
            listener.put(error)


def _is_away(error: Exception) -> bool:
    """Whether Redis is what failed; our other errors may be time-outs too, but not its."""
    if isinstance(error, ApexError):
        return isinstance(error, RedisUnavailable)
    return isinstance(error, redis.exceptions.RedisError | OSError)
