"""What the user of REDIS_URL must be allowed to do (Redis' access control lists)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ledger import keys
from ledger.scripts import Call

ID = "doctor"


def needed(instances: Sequence[str], *, database: int) -> list[list[str]]:
    """A command of each kind and for each kind of key and channel; docs/redis.md lists all.

    Celery's channels have the number of the database in their names.
    """
    job, stream = keys.job(ID), keys.stream(ID)
    queues = [keys.queue(name) for name in instances]
    return [
        ["INFO"],
        ["HSET", job, "field", "value"],
        ["PEXPIRE", job, "1"],
        ["XADD", stream, "*", "field", "value"],
        ["ZADD", keys.EXPIRING, "1", "member"],
        ["SCAN", "0"],
        ["PUBLISH", stream, "text"],
        ["SUBSCRIBE", stream],
        ["PUBLISH", keys.celery_meta(ID), "text"],
        *(["LPUSH", queue, "text"] for queue in queues),
        *(["BRPOP", queue, "1"] for queue in queues),
        ["SADD", "_kombu.binding.doctor", "member"],
        ["PUBLISH", f"/{database}.celeryev/doctor", "text"],
        ["PSUBSCRIBE", f"/{database}.celery.pidbox"],
    ]


def refused(commands: Sequence[Sequence[str]]) -> Call[list[str]]:
    """Those of ``commands`` that the user may not send, as text."""

    def read(reply: list[Any]) -> list[str]:
        return [" ".join(json.loads(words)) for words in reply]

    return Call("refused_commands", [], [json.dumps(words) for words in commands], read)
