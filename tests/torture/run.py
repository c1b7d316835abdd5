"""One run, from an empty Redis to the last check."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import redis

from ledger import keys
from producer import LLMClient
from tests.torture import checks, leftovers
from tests.torture.asked import asked
from tests.torture.books import Accepted, read_jobs
from tests.torture.checks import stored_ids
from tests.torture.clock import Clock
from tests.torture.fleet import Fleet
from tests.torture.plan import SCARCE, Plan
from tests.torture.producers import Producers
from tests.torture.recovery import Recoveries
from tests.torture.sampler import Sampler
from tests.torture.scene import Scene
from tests.torture.server import Server
from tests.torture.tormentor import Tormentor

TOKENS_A_JOB = 12  # of the scarce tenant's budget: less than its jobs cost
STUCK_S = 60.0  # without any change, and a lease more: what has not ended by then is lost
LOOK_S = 0.5
REST_S = 10.0  # until duplicates and wake-ups of ended jobs are consumed


@dataclass
class Outcome:
    """What a run was, and everything that was wrong, by check."""

    states: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    retried: int = 0
    reconnects: int = 0
    slow: int = 0
    looks: int = 0
    levels: int = 0
    seconds: float = 0
    faults: Counter[str] = field(default_factory=Counter)
    back_s: dict[str, list[float]] = field(default_factory=dict)
    took_s: dict[str, list[float]] = field(default_factory=dict)
    crossed_s: list[float] = field(default_factory=list)
    wrong: dict[str, list[str]] = field(default_factory=dict)

    def check(self, name: str, complaints: Iterable[str]) -> None:
        """Notes what a check found."""
        self.wrong[name] = list(complaints)

    @property
    def good(self) -> bool:
        return not any(self.wrong.values())


def run(plan: Plan, server: Server) -> Outcome:
    """Runs it."""
    outcome, clock, begun = Outcome(), Clock(plan.folder), time.monotonic()
    with (
        closing(redis.Redis.from_url(plan.url, decode_responses=True, socket_timeout=60)) as client,
        Sampler(plan.url) as sampler,
    ):
        _scarce(plan)
        fleet = Fleet(plan, clock)
        recoveries = Recoveries(plan.url)
        producers = Producers(plan)
        scene = Scene(
            plan, server, fleet, producers, clock, recoveries, plan.random("victims"), client
        )
        tormentor = Tormentor(scene)
        try:
            tormentor.start()
            tormentor.wait()
            _await_ends(plan, client, producers)
            producers.stop()
            recoveries.close()
            outcome.check("queues are empty", _at_rest(client, scene))
        finally:
            fleet.stop()
        outcome.check("no process is left", leftovers.processes(fleet))
    outcome.seconds = time.monotonic() - begun
    outcome.faults = tormentor.done
    outcome.back_s, outcome.took_s = recoveries.back_s, recoveries.took_s
    outcome.crossed_s = recoveries.crossed_s
    outcome.looks, outcome.levels = sampler.samples.looks, sampler.samples.levels
    outcome.check("used + held <= limit", sampler.samples.wrong)
    outcome.check("the harness itself", [*producers.failed, *tormentor.wrong, *recoveries.unseen])
    outcome.check(
        "workers live",
        [f"{one.name} {said}" for one in fleet.members.values() for said in one.surprises],
    )
    with closing(redis.Redis.from_url(plan.url, decode_responses=True)) as client:
        outcome.check("no connection is left", leftovers.connections(client))
        _check_books(outcome, scene, client)
    return outcome


def _scarce(plan: Plan) -> None:
    """One tenant has less than it asks for: its producers race for the last tokens."""
    with LLMClient(plan.settings) as client:
        client.set_budget("tenant", SCARCE, tokens=TOKENS_A_JOB * plan.jobs // 3 + 1000)


def _await_ends(plan: Plan, client: Any, producers: Producers) -> None:
    """Returns when all is read to its end, or nothing has changed for too long."""
    pause = threading.Event()
    seen: object = None
    since = time.monotonic()
    while not producers.done and time.monotonic() - since < STUCK_S + plan.lease_s:
        pause.wait(LOOK_S)
        read = sum(
            entry.read is not None for own in producers.entries().values() for entry in own.values()
        )
        # Who reads may be at jobs that wait behind better ones, which end unread meanwhile.
        now = read, [client.zcard(keys.waiting(name)) for name in plan.names]
        if now != seen:
            seen, since = now, time.monotonic()


def _at_rest(client: Any, scene: Scene) -> list[str]:
    names = scene.plan.names
    lists = [one for name in names for one in scene.lists(name)]
    until = time.monotonic() + REST_S
    while left := list(leftovers.queues(client, names, lists)):
        if time.monotonic() > until:
            break
        scene.pause.wait(LOOK_S)
    return left


def _check_books(outcome: Outcome, scene: Scene, client: Any) -> None:
    plan = scene.plan
    entries = [
        (producer, number, entry)
        for producer, own in scene.producers.entries().items()
        for number, entry in own.items()
    ]
    accepted: list[Accepted] = [
        (producer, asked(plan, producer, number), entry)
        for producer, number, entry in entries
        if entry.accepted
    ]
    jobs = list(read_jobs(client, accepted))
    outcome.states = Counter(job.state for job in jobs)
    outcome.refused = len(entries) - len(accepted)
    outcome.retried = sum(job.number("fence") > 1 for job in jobs)
    outcome.reconnects = sum(job.entry.read.reconnects for job in jobs if job.entry.read)
    outcome.slow = sum(job.asked.way == "slow" for job in jobs)
    names = list(client.scan_iter(count=1000))
    levels = {name: client.hgetall(name) for name in names if name.startswith(keys.budget(""))}
    said = [entry for _, _, entry in entries]
    outcome.check("all were submitted", _submitted(plan, len(entries)))
    outcome.check("every job ended once", checks.ended_once(jobs))
    outcome.check(
        "every job ended as asked", checks.ended_as_asked(jobs, plan.settings.max_attempts)
    )
    outcome.check("every text is the same", checks.texts(jobs))
    outcome.check("used = emitted", checks.tokens(jobs))
    outcome.check("levels add up", checks.budgets(jobs, levels, plan.settings))
    outcome.check("order is kept", checks.order(jobs, scene.overtaken))
    outcome.check("submits were answered", checks.answers(said))
    outcome.check("no job is unknown", checks.known(stored_ids(names), said))
    outcome.check("no key is left", leftovers.lasting(client))


def _submitted(plan: Plan, count: int) -> list[str]:
    return [] if count == plan.jobs else [f"{count} of {plan.jobs} jobs were submitted"]
