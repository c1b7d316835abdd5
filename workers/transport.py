"""kombu's Redis transport, guarded: an envelope that is not ours is set aside, not choked on.

An envelope that cannot be decoded stops a stock worker, and some come back at every start.
"""

from __future__ import annotations

import base64
import logging
from typing import Any

from kombu.transport import redis as kombu_redis
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps, loads
from redis.exceptions import OutOfMemoryError

from ledger import keys
from workers.task import TASK_NAME

log = logging.getLogger(__name__)

MAX_ID = 500
KEPT = 1000  # set-aside messages; junk must not fill Redis


def complaint(raw: bytes | str) -> str:
    """What is wrong with an envelope; empty if it is a wake-up of ours."""
    try:
        message = loads(bytes_to_str(raw))  # as kombu will read it
        properties, headers = message["properties"], message["headers"]
        if (message["content-type"], message["content-encoding"]) != ("application/json", "utf-8"):
            return "its content is not JSON in UTF-8"
        if properties["body_encoding"] != "base64":
            return "its body is not base64"
        args, kwargs, embed = loads(base64.b64decode(message["body"], validate=True))
        if args != [] or kwargs != {} or not isinstance(embed, dict):
            return "its body is not that of a wake-up"
        info = properties["delivery_info"]
        texts = (properties["delivery_tag"], info["exchange"], info["routing_key"], headers["id"])
        if not all(isinstance(text, str) and len(text) <= MAX_ID for text in texts):
            return "its ids are not text, or too long"
        if headers.get("eta") or headers.get("expires") or headers.get("compression"):
            return "it is to be delayed, to expire or to be unpacked, which no wake-up is"
    except Exception as error:  # noqa: BLE001  whatever kombu's decoders raise would stop the worker
        return f"it is not a Celery message ({type(error).__name__})"
    if headers.get("task") != TASK_NAME:
        return "it is another application's task"
    return ""


class Channel(kombu_redis.Channel):
    """Reads from the lists through :func:`complaint`."""

    def _get_client(self) -> Any:
        base: Any = super()._get_client()
        channel = self

        class Guarded(base):
            def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
                reply = super().parse_response(connection, command_name, **options)
                if command_name != "BRPOP" or not reply:
                    return reply
                why = complaint(reply[1])
                if not why:
                    return reply
                queue = reply[0].decode(errors="replace")
                log.error("set a message of queue %s aside in %s: %s", queue, keys.ASIDE, why)
                with channel.conn_or_acquire() as client:
                    client.lpush(keys.ASIDE, reply[1])
                    client.ltrim(keys.ASIDE, 0, KEPT - 1)
                return None

        return Guarded

    def _size(self, queue: str) -> int:
        """Counts outside of a transaction, into which Redis 7.0 takes no command without memory."""
        with self.conn_or_acquire() as client, client.pipeline(transaction=False) as pipe:
            for priority in self.priority_steps:
                pipe.llen(self._q_for_pri(queue, priority))
            return sum(pipe.execute())

    def _restore(self, message: Any, leftmost: bool = False) -> None:
        """Gives back a wake-up that was taken and not begun, as when its worker is told to end just
        then. It is the next again; kombu without books would put it behind the others of its band.
        """
        envelope = message.serializable()
        info = message.delivery_info
        priority = self._get_message_priority(envelope, reverse=False)
        with self.conn_or_acquire() as client:
            for queue in self._lookup(info["exchange"], info["routing_key"]):
                client.rpush(self._q_for_pri(queue, priority), dumps(envelope))

    def _queue_bind(self, *binding: Any) -> None:
        """Notes where messages for a queue go, which only monitors read: a worker that comes back
        to a Redis without memory does its work all the same.
        """
        try:
            super()._queue_bind(*binding)
        except OutOfMemoryError:
            log.warning("Redis is full: what this worker answers to `inspect` may be lost")


class Transport(kombu_redis.Transport):
    """Named by ``broker_transport``, so that the broker's URL stays a plain Redis URL."""

    Channel = Channel
