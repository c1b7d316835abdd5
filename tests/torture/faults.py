"""The faults. Each is done to one thing at a time: a worker, Redis, or a producer."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass

from ledger import keys
from tests.support.junk import no_message, wakeup
from tests.torture.fleet import send
from tests.torture.recovery import Running
from tests.torture.scene import REDIS, Scene

LARGE = 1_000_000
MOST_FROZEN_S = 3.0
BEYOND_S = 1.5  # that a zombie sleeps longer than its lease
JUMPS_S = (-86_400, -3_600, -30, 30, 3_600, 86_400)


@dataclass(frozen=True)
class Fault:
    """One kind.

    ``do`` gets the instance it is done to (or ``redis``) and the jobs that run there; it returns
    once it is over. ``needs_job``: it is done where a job runs. ``next_attempt``: a job that it
    hits goes on in another attempt; None: no job need notice it.
    """

    weight: int
    do: Callable[[Scene, str, list[Running]], None]
    on_redis: bool = False
    needs_job: bool = False
    next_attempt: bool | None = None
    loses_wakeups: bool = False

    @property
    def disturbs(self) -> bool:
        """Whether the jobs that run may notice it."""
        return self.next_attempt is not None or self.loses_wakeups


def kill_child(scene: Scene, name: str, jobs: list[Running]) -> None:
    """SIGKILL for the process that has the job."""
    send(jobs[0].pid, signal.SIGKILL)


def kill_parent(scene: Scene, name: str, jobs: list[Running]) -> None:
    """SIGKILL for the parent; its child is an orphan."""
    scene.member(name).signal(signal.SIGKILL)


def kill_worker(scene: Scene, name: str, jobs: list[Running]) -> None:
    """SIGKILL for the parent and its children, as when the machine's power goes."""
    member = scene.member(name)
    children = member.children
    member.signal(signal.SIGKILL)
    for pid in children:
        send(pid, signal.SIGKILL)


def terminate(scene: Scene, name: str, jobs: list[Running]) -> None:
    """SIGTERM, as a deploy does it."""
    scene.member(name).signal(signal.SIGTERM)


def stop_child(scene: Scene, name: str, jobs: list[Running]) -> None:
    """SIGSTOP for the process that has the job, and SIGCONT."""
    _asleep(scene, [jobs[0].pid], scene.random.uniform(0.1, 2.0))


def stop_parent(scene: Scene, name: str, jobs: list[Running]) -> None:
    """Nobody renews the lease, while the child goes on."""
    _asleep(scene, [scene.member(name).pid], scene.plan.lease_s + BEYOND_S)


def stop_worker(scene: Scene, name: str, jobs: list[Running]) -> None:
    """A zombie: all its processes sleep past the lease and wake up."""
    member = scene.member(name)
    _asleep(scene, [member.pid, *member.children], scene.plan.lease_s + BEYOND_S)


def kill_redis(scene: Scene, name: str, jobs: list[Running]) -> None:
    """kill -9 and a restart from the append-only file."""
    scene.server.kill_and_restart()


def freeze_redis(scene: Scene, name: str, jobs: list[Running]) -> None:
    """It does not answer for a while."""
    scene.server.freeze()
    try:
        scene.pause.wait(scene.random.uniform(0.1, MOST_FROZEN_S))
    finally:
        scene.server.thaw()


def kill_clients(scene: Scene, name: str, jobs: list[Running]) -> None:
    """CLIENT KILL for every connection, or for every reader's."""
    scene.redis.client_kill_filter(_type=scene.random.choice(("normal", "pubsub")), skipme=True)


def flush_scripts(scene: Scene, name: str, jobs: list[Running]) -> None:
    """SCRIPT FLUSH: every script is answered with NOSCRIPT once."""
    scene.redis.script_flush()


def push_junk(scene: Scene, name: str, jobs: list[Running]) -> None:
    """Messages that no worker can read, at either end of a list."""
    good = wakeup(_template(scene, name), "no-such-job", "junk")
    some = [raw for raw in no_message(good).values() if len(raw) < LARGE]
    for raw in scene.random.sample(some, 5):
        scene.random.choice((scene.redis.lpush, scene.redis.rpush))(_some_list(scene, name), raw)


def push_duplicates(scene: Scene, name: str, jobs: list[Running]) -> None:
    """Wake-ups once more: of jobs that wait, that run, and that never were."""
    waiting = scene.woken([name])
    scene.overtaken |= waiting
    ids = [*waiting, *(job.job_id for job in jobs), "no-such-job"]
    for job_id in scene.random.choices(ids, k=4):
        again = json.dumps(wakeup(_template(scene, name), job_id, f"{job_id}.again"))
        push = scene.random.choice((scene.redis.lpush, scene.redis.rpush))
        push(_some_list(scene, name), again)


def delete_wakeups(scene: Scene, name: str, jobs: list[Running]) -> None:
    """Celery's lists of the instance are gone."""
    scene.redis.delete(*scene.lists(name))


def jump_clock(scene: Scene, name: str, jobs: list[Running]) -> None:
    """The wall clock of one worker is suddenly another one."""
    scene.clock.set(scene.random.choice(JUMPS_S))


def kill_producer(scene: Scene, name: str, jobs: list[Running]) -> None:
    """SIGKILL for a producer, perhaps within a bulk submit; it is started again."""
    scene.producers.kill(scene.random)


FAULTS: dict[str, Fault] = {
    "kill child": Fault(24, kill_child, needs_job=True, next_attempt=True),
    "kill parent": Fault(6, kill_parent, needs_job=True, next_attempt=False, loses_wakeups=True),
    "kill worker": Fault(10, kill_worker, needs_job=True, next_attempt=True, loses_wakeups=True),
    "SIGTERM": Fault(6, terminate, next_attempt=False, loses_wakeups=True),
    "stop child": Fault(4, stop_child, needs_job=True, next_attempt=False),
    "stop parent": Fault(3, stop_parent, needs_job=True, next_attempt=False, loses_wakeups=True),
    "zombie": Fault(4, stop_worker, needs_job=True, next_attempt=True, loses_wakeups=True),
    "kill redis": Fault(4, kill_redis, on_redis=True, next_attempt=False, loses_wakeups=True),
    "freeze redis": Fault(4, freeze_redis, on_redis=True, next_attempt=False, loses_wakeups=True),
    "client kill": Fault(6, kill_clients, on_redis=True, next_attempt=False, loses_wakeups=True),
    "script flush": Fault(6, flush_scripts, on_redis=True, next_attempt=False),
    "junk": Fault(6, push_junk),
    "duplicates": Fault(6, push_duplicates),
    "deleted wake-ups": Fault(5, delete_wakeups, loses_wakeups=True),
    "clock jump": Fault(3, jump_clock),
    "kill producer": Fault(3, kill_producer),
}


def _asleep(scene: Scene, pids: list[int], seconds: float) -> None:
    for pid in pids:
        send(pid, signal.SIGSTOP)
    try:
        scene.pause.wait(seconds)
    finally:
        for pid in pids:
            send(pid, signal.SIGCONT)


def _template(scene: Scene, name: str) -> str:
    return str(scene.redis.hget(keys.entry(name), "wakeup"))


def _some_list(scene: Scene, name: str) -> str:
    return scene.random.choice(scene.lists(name))


def where(fault: Fault, scene: Scene) -> list[str]:
    """What the fault may be done to."""
    if fault.on_redis:
        return [REDIS]
    return [scene.fleet.jumpy] if fault.do is jump_clock else scene.plan.names
