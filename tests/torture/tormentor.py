"""Picks the faults, from the seed, and does them."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import redis

from tests.torture.faults import FAULTS, Fault, kill_child, where
from tests.torture.scene import REDIS, Scene

log = logging.getLogger("torture")

AT_ONCE = 6
TRIES, TRY_AGAIN_S = 50, 0.1  # until a victim is found
BEGINS = 0.03  # share of the run before the first fault


class Tormentor:
    """Does the plan's faults, spread over its seconds, several at once."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._schedule = _schedule(scene)
        self._thread = threading.Thread(target=self._work, name="tormentor", daemon=True)
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def wait(self) -> None:
        """Waits until the last fault is over."""
        self._thread.join()

    def _work(self) -> None:
        begun = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE, "fault") as pool:
            for due_s, kind in self._schedule:
                self._scene.pause.wait(max(0.0, begun + due_s - time.monotonic()))
                pool.submit(self._strike, kind)

    def _strike(self, kind: str) -> None:
        try:
            for _ in range(TRIES):
                with suppress(redis.RedisError):  # another fault is at it
                    if self._try(kind, FAULTS[kind]):
                        self.done[kind] += 1
                        return
                self._scene.pause.wait(TRY_AGAIN_S)
        except Exception as error:  # noqa: BLE001  the run's end says so
            self.wrong.append(f"{kind}: {error!r}")

    def _try(self, kind: str, fault: Fault) -> bool:
        """Does it, if there is a victim."""
        scene = self._scene
        with scene.alone(where(fault, scene)) as name:
            if name is None:
                return False
            hit = scene.plan.names if name == REDIS else [name]
            jobs = scene.running(hit)
            if fault.needs_job and not jobs:
                return False
            if fault.loses_wakeups:
                scene.overtaken |= scene.woken(hit)
            blow = scene.recoveries.blow(name) if fault.disturbs else None
            if blow and fault.next_attempt is not None:
                for job in jobs:
                    # After its second failure a job waits on purpose.
                    again = fault.do is kill_child and job.failures > 0
                    label = f"{kind}, again" if again else kind
                    scene.recoveries.watch(label, job, blow, next_attempt=fault.next_attempt)
            log.info("%s: %s with %s", kind, name, jobs)
            try:
                fault.do(scene, name, jobs)
            finally:
                if blow:
                    blow.over = time.monotonic()
            log.info("%s: %s is over", kind, name)
        if fault.loses_wakeups:
            self._note_overtaken(hit)
        return True

    def _note_overtaken(self, names: list[str]) -> None:
        """What is woken after the fault may have lost its wake-up to it too."""
        for _ in range(TRIES):
            with suppress(redis.RedisError):  # it may be loading its data
                self._scene.overtaken |= self._scene.woken(names)
                return
            self._scene.pause.wait(TRY_AGAIN_S)


def _schedule(scene: Scene) -> list[tuple[float, str]]:
    random, plan = scene.plan.random("faults"), scene.plan
    kinds = [kind for kind in plan.only or FAULTS if kind != "clock jump" or scene.clock.jumps]
    weights = [FAULTS[kind].weight for kind in kinds]
    times = sorted(random.uniform(BEGINS * plan.seconds, plan.seconds) for _ in range(plan.faults))
    return list(zip(times, random.choices(kinds, weights, k=plan.faults), strict=True))
