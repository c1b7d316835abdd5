"""A provider that takes no more requests for now, so that inst0 rests."""

from __future__ import annotations

import json

from ledger import keys
from ledger.errors import RateLimited
from ledger.jobs import Noop
from ledger.overview import read_entries
from ledger.recovery import mend
from producer import Job
from tests.support import attempts
from tests.support.hands import LISTS
from tests.support.runner_scene import Scene
from tests.support.scripted import Script
from workers.runner import Outcome

ENTRY = keys.entry("inst0")


def limited(retry_after_s: float | None = 12, said: str = "slow down") -> RateLimited:
    """What a backend raises then."""
    return RateLimited(backend="mock", retry_after_s=retry_after_s, said=said)


def refuse(scene: Scene, job: Job, retry_after_s: float | None = 12) -> tuple[Outcome, str]:
    """The provider refuses a job before it makes anything; its wake-up was taken."""
    scene.ledger.redis.rpop(LISTS[2])
    return scene.run(job, Script([limited(retry_after_s)]))


def rest_s(scene: Scene) -> float:
    """For how many seconds more it rests."""
    return scene.ledger.run(read_entries(["inst0"]))[0].rest_s


def pass_the_rest(scene: Scene) -> None:
    """Its time comes, and whoever reconciles looks."""
    if scene.ledger.redis.hexists(ENTRY, "rest"):
        scene.ledger.redis.hset(ENTRY, "rest", 1)
    scene.ledger.run(mend("inst0", patience_ms=60_000))


def take_wake_ups(scene: Scene) -> list[str]:
    """Takes those in Celery's lists, and is refused each of the jobs; their ids."""
    taken = []
    for name in LISTS:
        while (raw := scene.ledger.redis.rpop(name)) is not None:
            taken.append(json.loads(raw)["id"])
            assert scene.ledger.run(attempts.claim(taken[-1])) == Noop("queued")
    return taken
