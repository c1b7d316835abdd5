"""Where the ledger has its jobs, read in one round trip."""

from __future__ import annotations

from dataclasses import dataclass

from ledger import keys
from tests.support.ledger_model.books import Books


@dataclass(frozen=True)
class Queues:
    """By instance: jobs that wait, with their scores; that are woken; that run. By list: messages.

    ``delayed``: jobs that pause.
    """

    waiting: dict[str, list[tuple[str, float]]]
    woken: dict[str, list[str]]
    running: dict[str, list[str]]
    lists: dict[str, list[str]]
    delayed: list[str]


def read_queues(books: Books) -> Queues:
    """What is in the queues now."""
    names = list(books.places)
    lists = [one for place in books.places.values() for one in place.lists]
    pipe = books.redis.pipeline(transaction=False)
    for name in names:
        pipe.zrange(keys.waiting(name), 0, -1, withscores=True)
    for key in (keys.woken, keys.running):
        for name in names:
            pipe.zrange(key(name), 0, -1)
    for one in lists:
        pipe.lrange(one, 0, -1)
    pipe.zrange(keys.DELAYED, 0, -1)
    found = iter(pipe.execute())
    return Queues(
        waiting={name: next(found) for name in names},
        woken={name: next(found) for name in names},
        running={name: next(found) for name in names},
        lists={one: next(found) for one in lists},
        delayed=next(found),
    )
