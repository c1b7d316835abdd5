"""Connections to Redis, with time-outs, and the two ledgers that make a call: sync and asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError
from redis.retry import Retry

from ledger.address import shown
from ledger.async_subscription import AsyncSubscription, AsyncSubscriptions
from ledger.errors import ApexError, InvalidSetting
from ledger.packer import Packer
from ledger.redis_errors import translate
from ledger.scripts import Call, load
from ledger.subscription import Subscription, Subscriptions

T = TypeVar("T")

CONNECTION: dict[str, Any] = {
    "socket_timeout": 10,  # a frozen Redis ends in an error, not in a hang
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 25,
    "decode_responses": True,
    "encoding_errors": "surrogateescape",  # a damaged value reaches its parser, which says so
    "protocol": 2,
}

CONNECTIONS = 10_000  # a thread uses one or two; redis-py's own cap of 100 would refuse the rest
ASYNC_CONNECTIONS = 32  # tasks wait for one of these; a call takes well under a millisecond

# A lost connection is tried again at once: every script may be sent twice. A time-out is not, or
# a frozen Redis would cost its callers a multiple of it.
RETRIES: dict[str, Any] = {"backoff": ExponentialBackoff(cap=0.5, base=0.05), "retries": 2}


class Ledger:
    """The books, for callers that wait: makes each call in one round trip."""

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            self.redis: redis.Redis = redis.Redis.from_url(
                url,
                max_connections=CONNECTIONS,
                command_packer=Packer(),
                retry=Retry(supported_errors=(RedisConnectionError,), **RETRIES),
                **CONNECTION,
            )
        except ValueError:
            raise _bad_url(url) from None
        self._subscriptions = Subscriptions(self.redis)

    def run(self, call: Call[T]) -> T:
        """Sends one call.

        Raises:
            RedisUnavailable: Redis does not answer within the time-outs.
            CorruptEntry: a key holds something that the ledger does not write.
        """
        script = load(call.script)
        with self.translated():
            try:
                reply = self.redis.evalsha(script.sha, len(call.keys), *call.keys, *call.args)
            except NoScriptError:
                reply = self._send_text(call)
        return call.read(reply)

    def run_many(self, calls: Sequence[Call[T]]) -> list[T | Exception]:
        """Sends many calls in one pipeline, each atomic by itself.

        Returns the answers in order; an error of one call stands in its place.
        """
        with self.translated():
            pipe = self.redis.pipeline(transaction=False)
            _queue_up(pipe, calls)
            replies = pipe.execute(raise_on_error=False)
            for number, reply in enumerate(replies):
                if isinstance(reply, NoScriptError):
                    replies[number] = self._send_text(calls[number])
        return [_answer(self.url, call, reply) for call, reply in zip(calls, replies, strict=True)]

    def _send_text(self, call: Call[Any]) -> Any:
        return self.redis.eval(load(call.script).text, len(call.keys), *call.keys, *call.args)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turns redis-py's errors inside the block into ours."""
        try:
            yield
        except ApexError:
            raise
        except (RedisError, OSError) as error:
            raise translate(self.url, error) from error

    @contextmanager
    def subscription(self, channel: str) -> Iterator[Subscription]:
        """What is published on ``channel`` from now on; Redis has confirmed the subscription."""
        with self.translated(), self._subscriptions.to(channel) as subscription:
            yield subscription

    def exists(self, key: str) -> bool:
        """Whether there is such a key."""
        with self.translated():
            return bool(self.redis.exists(key))

    def close(self) -> None:
        """Gives the connections back."""
        self._subscriptions.close()
        self.redis.close()


class AsyncLedger:
    """The books, for asyncio: the same calls."""

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            pool = redis.asyncio.BlockingConnectionPool.from_url(
                url,
                max_connections=ASYNC_CONNECTIONS,
                timeout=CONNECTION["socket_timeout"],
                retry=AsyncRetry(supported_errors=(RedisConnectionError,), **RETRIES),
                **CONNECTION,
            )
        except ValueError:
            raise _bad_url(url) from None
        self.redis = redis.asyncio.Redis.from_pool(pool)
        self._subscriptions = AsyncSubscriptions(self.redis)

    async def run(self, call: Call[T]) -> T:
        """As :meth:`Ledger.run`."""
        script = load(call.script)
        async with self.translated():
            try:
                reply = await self.redis.evalsha(script.sha, len(call.keys), *call.keys, *call.args)
            except NoScriptError:
                reply = await self._send_text(call)
        return call.read(reply)

    async def run_many(self, calls: Sequence[Call[T]]) -> list[T | Exception]:
        """As :meth:`Ledger.run_many`."""
        async with self.translated():
            pipe = self.redis.pipeline(transaction=False)
            _queue_up(pipe, calls)
            replies = await pipe.execute(raise_on_error=False)
            for number, reply in enumerate(replies):
                if isinstance(reply, NoScriptError):
                    replies[number] = await self._send_text(calls[number])
        return [_answer(self.url, call, reply) for call, reply in zip(calls, replies, strict=True)]

    async def _send_text(self, call: Call[Any]) -> Any:
        return await self.redis.eval(load(call.script).text, len(call.keys), *call.keys, *call.args)

    @asynccontextmanager
    async def translated(self) -> AsyncIterator[None]:
        """As :meth:`Ledger.translated`."""
        try:
            yield
        except ApexError:
            raise
        except (RedisError, OSError) as error:
            raise translate(self.url, error) from error

    @asynccontextmanager
    async def subscription(self, channel: str) -> AsyncIterator[AsyncSubscription]:
        """As :meth:`Ledger.subscription`."""
        async with self.translated(), self._subscriptions.to(channel) as subscription:
            yield subscription

    async def exists(self, key: str) -> bool:
        """As :meth:`Ledger.exists`."""
        async with self.translated():
            return bool(await self.redis.exists(key))

    async def close(self) -> None:
        """Gives the connections back."""
        await self._subscriptions.close()
        await self.redis.aclose()


def _queue_up(pipe: Any, calls: Sequence[Call[Any]]) -> None:
    """Puts calls into a pipeline. A script's first one brings its text, which may not be there."""
    brought = set()
    for call in calls:
        script = load(call.script)
        if script.name in brought:
            pipe.evalsha(script.sha, len(call.keys), *call.keys, *call.args)
        else:
            pipe.eval(script.text, len(call.keys), *call.keys, *call.args)
            brought.add(script.name)


def _answer(url: str, call: Call[Any], reply: Any) -> Any:
    if isinstance(reply, RedisError):
        return translate(url, reply)
    try:
        return call.read(reply)
    except Exception as error:  # noqa: BLE001  it is handed to the caller in the answer's place
        return error


def _bad_url(url: str) -> InvalidSetting:
    where = shown(url)
    if "sentinel" in url.partition("://")[0]:
        return InvalidSetting(
            f"REDIS_URL {where!r} names Sentinels, which apexq does not ask yet; "
            "name the primary, or an address that follows it."
        )
    return InvalidSetting(
        f"REDIS_URL {where!r} is not a Redis URL, which looks like redis://localhost:6379/0; "
        "# and / in a password are written as %23 and %2F."
    )
