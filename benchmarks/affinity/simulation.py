"""Agents of Zipf's popularity on a few instances, simulated: no clock, no I/O, one seed.

An instance serves one job at a time, in the order in which they came. It keeps the contexts of the
agents that it served last; for another one it reads the whole prompt. One instance goes away for a
fifth of the time, and its waiting jobs with it to others.
"""

from __future__ import annotations

import heapq
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import xxhash

from routing.affinity import place
from routing.rendezvous import rank

TURNS = 20  # of a conversation
REGISTRY_AGE_S = 1.0  # a producer looks at the loads so often


@dataclass(frozen=True, slots=True)
class World:
    """What is simulated. Rates are tokens per second, ``busy`` the share of all capacity asked."""

    instances: int = 5
    agents: int = 300
    jobs: int = 4_000
    zipf: float = 0.9
    busy: float = 0.6
    contexts: int = 48  # that an instance keeps
    prefill_rate: float = 1000.0
    answer_rate: float = 50.0
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Arrival:
    """One job: when, whose, and how many tokens prompt and answer have."""

    at_s: float
    agent: str
    prompt: int
    answer: int


class Warm:
    """The contexts that an instance keeps: of the agents that it served last."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._tokens: OrderedDict[str, int] = OrderedDict()

    def read(self, job: Arrival) -> int:
        """Tokens of the prompt that it has to read; from now on it knows them."""
        # A conversation only grows, so what was read of it before is the beginning of this prompt.
        known = self._tokens.pop(job.agent, 0)
        self._tokens[job.agent] = job.prompt
        if len(self._tokens) > self._most:
            self._tokens.popitem(last=False)
        return job.prompt - known if job.prompt > known else job.prompt

    def clear(self) -> None:
        """It was started again."""
        self._tokens.clear()


@dataclass(slots=True)
class Instance:
    """One instance: what waits and runs there, and whose contexts it has."""

    warm: Warm
    queue: deque[Arrival] = field(default_factory=deque)
    running: Arrival | None = None
    run_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Seconds that jobs waited, sorted, and prompt tokens that were read."""

    waits_s: Sequence[float]
    read: int

    def wait_s(self, share: float) -> float:
        """The wait that this share of jobs did not exceed."""
        return self.waits_s[min(int(share * len(self.waits_s)), len(self.waits_s) - 1)]


Policy = Callable[[Arrival, Sequence[str], dict[str, float], random.Random], str]


def by_hash(job: Arrival, names: Sequence[str], _: dict[str, float], __: random.Random) -> str:
    """The seeds' rule, with a hash that is the same in each process: hash modulo instances."""
    return names[xxhash.xxh3_64_intdigest(job.agent.encode()) % len(names)]


def by_chance(_: Arrival, names: Sequence[str], __: dict[str, float], chance: random.Random) -> str:
    """Any instance."""
    return chance.choice(names)


def strict(job: Arrival, names: Sequence[str], _: dict[str, float], __: random.Random) -> str:
    """The agent's own by rendezvous hash."""
    return rank(job.agent, [(name, 1.0) for name in names])[0]


def bounded(world: World) -> Policy:
    """The agent's own, or the next one where that is sooner."""

    def choose(
        job: Arrival, names: Sequence[str], waits_s: dict[str, float], _: random.Random
    ) -> str:
        order = rank(job.agent, [(name, 1.0) for name in names])
        return place(order, waits_s, job.prompt / world.prefill_rate)

    return choose


def policies(world: World) -> dict[str, Policy]:
    """All that are compared."""
    return {"hash": by_hash, "random": by_chance, "strict": strict, "bounded": bounded(world)}


def arrivals(world: World) -> list[Arrival]:
    """The jobs, the same for each policy."""
    chance = random.Random(world.seed)
    names = [f"agent-{number}" for number in range(world.agents)]
    popularity = [1 / (number + 1) ** world.zipf for number in range(world.agents)]
    mean_s = 150 / world.answer_rate + 0.2
    turns: dict[str, int] = {}
    jobs, now_s = [], 0.0
    for agent in chance.choices(names, popularity, k=world.jobs):
        now_s += chance.expovariate(world.busy * world.instances / mean_s)
        turns[agent] = turns.get(agent, 0) + 1
        prompt = 400 + 150 * (turns[agent] % TURNS)
        jobs.append(Arrival(now_s, agent, prompt, 1 + int(chance.expovariate(1 / 150))))
    return jobs


def simulate(world: World, policy: Policy, jobs: Sequence[Arrival]) -> Outcome:
    """Serves all jobs."""
    return _Run(world, policy, jobs).outcome()


class _Run:
    def __init__(self, world: World, policy: Policy, jobs: Sequence[Arrival]) -> None:
        self._world, self._policy, self._jobs = world, policy, jobs
        self._chance = random.Random(world.seed + 1)
        self._instances = {
            f"inst{number}": Instance(Warm(world.contexts)) for number in range(world.instances)
        }
        self._names = list(self._instances)
        self._ends: list[tuple[float, str]] = []
        self._waits_s: list[float] = []
        self._read = 0
        self._looked_s = -REGISTRY_AGE_S
        self._known_s: dict[str, float] = {}

    def outcome(self) -> Outcome:
        last = f"inst{self._world.instances - 1}"
        goes, comes = len(self._jobs) * 2 // 5, len(self._jobs) * 3 // 5
        for number, job in enumerate(self._jobs):
            self._end_until(job.at_s)
            if number == goes:
                self._names.remove(last)
                homeless, self._instances[last].queue = self._instances[last].queue, deque()
                self._instances[last].warm.clear()
                for one in homeless:
                    self._send(one, job.at_s)
            elif number == comes:
                self._names.append(last)
            self._send(job, job.at_s)
        self._end_until(float("inf"))
        return Outcome(sorted(self._waits_s), self._read)

    def _send(self, job: Arrival, now_s: float) -> None:
        if now_s - self._looked_s >= REGISTRY_AGE_S:
            self._looked_s = now_s
            self._known_s = {name: self._wait_s(name) for name in self._instances}
        name = self._policy(job, self._names, self._known_s, self._chance)
        self._known_s[name] += self._instances[name].run_s
        self._instances[name].queue.append(job)
        self._begin(name, now_s)

    def _wait_s(self, name: str) -> float:
        one = self._instances[name]
        return (len(one.queue) + (one.running is not None)) * one.run_s

    def _begin(self, name: str, now_s: float) -> None:
        one = self._instances[name]
        if one.running is not None or not one.queue:
            return
        job = one.running = one.queue.popleft()
        self._waits_s.append(now_s - job.at_s)
        read = one.warm.read(job)
        self._read += read
        took_s = read / self._world.prefill_rate + job.answer / self._world.answer_rate
        one.run_s = one.run_s * 0.8 + took_s * 0.2 if one.run_s else took_s
        heapq.heappush(self._ends, (now_s + took_s, name))

    def _end_until(self, now_s: float) -> None:
        while self._ends and self._ends[0][0] <= now_s:
            at_s, name = heapq.heappop(self._ends)
            self._instances[name].running = None
            self._begin(name, at_s)
