"""Subscriptions to pub/sub channels. Their connections are kept and used again.

A new connection costs more than a whole submit, and a reader needs one for each job it follows.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis

CONFIRM_S = 10.0


class Subscription:
    """What is published on one channel, from the moment that Redis confirmed it."""

    def __init__(self, pubsub: Any) -> None:
        self._pubsub = pubsub

    def next(self, timeout_s: float) -> str | None:
        """The next message, or None after ``timeout_s`` seconds without one."""
        return _payload(self.wait_for("message", timeout_s))

    def wait_for(self, kind: str, timeout_s: float) -> dict[str, Any] | None:
        """The next message of ``kind``, or None after ``timeout_s`` seconds."""
        until = time.monotonic() + timeout_s
        while (left := until - time.monotonic()) > 0:
            message = self._pubsub.get_message(timeout=left)
            if message is not None and message["type"] == kind:
                return dict(message)
        return None


class Subscriptions:
    """A client's pub/sub connections, kept for the next reader; a forked child makes its own."""

    def __init__(self, client: redis.Redis) -> None:
        self._client: Any = client
        self._idle: list[Any] = []
        self._pid = os.getpid()

    @contextmanager
    def to(self, channel: str) -> Iterator[Subscription]:
        """Subscribes for the length of the block."""
        if self._pid != os.getpid():
            self._pid, self._idle = os.getpid(), []
        try:
            pubsub = self._idle.pop()
        except IndexError:  # not asked before: another thread may have taken the last one
            pubsub = self._client.pubsub()
        try:
            subscription = Subscription(pubsub)
            pubsub.subscribe(channel)
            _confirm(subscription.wait_for("subscribe", CONFIRM_S))
            yield subscription
            pubsub.unsubscribe(channel)
            _confirm(subscription.wait_for("unsubscribe", CONFIRM_S))
        except BaseException:
            pubsub.close()
            raise
        self._idle.append(pubsub)

    def close(self) -> None:
        """Closes the idle ones."""
        while self._idle:
            self._idle.pop().close()


def _confirm(message: dict[str, Any] | None) -> None:
    if message is None:
        raise redis.exceptions.TimeoutError("no answer to SUBSCRIBE")


def _payload(message: dict[str, Any] | None) -> str | None:
    return None if message is None else str(message["data"])
