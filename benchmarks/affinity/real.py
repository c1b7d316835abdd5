"""The same comparison on real workers: a small world, four times as fast, all policies at once.

The mock answers for as long as a model would, with a tenth of the tokens, and takes as long to
begin as a model would to read what it does not know of the prompt. Loads are what the registry
says, read once a second as a client does. Takes three minutes.
"""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.affinity.simulation import (
    REGISTRY_AGE_S,
    Arrival,
    Outcome,
    Policy,
    Warm,
    World,
    arrivals,
    policies,
)
from ledger.redis_client import Ledger
from producer import Job, LLMClient
from producer.local import LocalStack
from routing import read_registry
from routing.affinity import Waits

FASTER = 4
FEWER = 10
SMALL = World(instances=4, agents=60, jobs=500, contexts=16, busy=0.7)


def run(world: World = SMALL) -> dict[str, Outcome]:
    """Each policy on a stack of its own, with the simulation's jobs."""

    def try_out(policy: Policy) -> Outcome:
        with (
            LocalStack(instances=world.instances, mock_directives=True) as stack,
            LLMClient(stack.settings) as client,
        ):
            return _Trial(world, policy, client, Ledger(stack.redis_url)).outcome()

    named = policies(world)
    with ThreadPoolExecutor() as pool:
        return dict(zip(named, pool.map(try_out, named.values()), strict=True))


class _Trial:
    def __init__(self, world: World, policy: Policy, client: LLMClient, ledger: Ledger) -> None:
        self._world, self._policy, self._client, self._ledger = world, policy, client, ledger
        self._names = [f"inst{number}" for number in range(world.instances)]
        self._warm = {name: Warm(world.contexts) for name in self._names}
        self._chance = random.Random(world.seed + 1)
        self._looked_s, self._read = -REGISTRY_AGE_S, 0

    def outcome(self) -> Outcome:
        """Sends each job at its time, and waits for all."""
        jobs = arrivals(self._world)
        last = self._names[-1]
        began, sent = time.monotonic(), []
        for number, one in enumerate(jobs):
            if number == len(jobs) * 2 // 5:
                self._names.remove(last)
                self._warm[last].clear()
            elif number == len(jobs) * 3 // 5:
                self._names.append(last)
            time.sleep(max(0.0, began + one.at_s / FASTER - time.monotonic()))
            sent.append(self._submit(one))
        waits_s = [job.result(timeout=300).timings.queued_ms / 1000 * FASTER for job in sent]
        self._ledger.close()
        return Outcome(sorted(waits_s), self._read)

    def _submit(self, one: Arrival) -> Job:
        chosen = self._policy(one, self._names, self._waits_s(), self._chance)
        self._waits.sent(chosen)
        read = self._warm[chosen].read(one)
        self._read += read
        first_ms = read / self._world.prefill_rate / FASTER * 1000
        rate = self._world.answer_rate * FASTER / FEWER
        tokens = max(1, round(one.answer / FEWER))
        return self._client.submit(
            f"[[mock tokens={tokens} tps={rate:.0f} first_ms={first_ms:.0f}]]",
            agent_id=one.agent,
            max_tokens=tokens,
            instance=chosen,
        )

    def _waits_s(self) -> dict[str, float]:
        now_s = time.monotonic()
        if now_s - self._looked_s >= REGISTRY_AGE_S:
            self._waits, self._looked_s = Waits(self._ledger.run(read_registry())), now_s
        return {name: wait_s * FASTER for name, wait_s in self._waits.seconds().items()}
