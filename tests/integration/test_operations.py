"""What operators see: Celery's own tools show the jobs as they are, and no prompt."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from celery import Celery
from celery.events.state import State

from ledger import keys
from ledger.redis_client import Ledger
from ledger.settings import Settings
from producer import LLMClient
from tests.conftest import StartWorkers
from tests.support import servers
from tests.support.commands import celery
from tests.support.flower import flower
from tests.support.gates import begun, closed_gate
from tests.support.junk import wakeup
from tests.support.waiting import eventually
from tests.support.workers import child_of, working
from workers.celery_app import create_app

SECRET = "the-aardvark-sings-at-noon"
FAILS = f"{SECRET} [[mock tokens=3 error_at=1]]"
CRASHES = f"{SECRET} [[mock tokens=3 crash_at=1]]"
DIES = f"{SECRET} [[mock tokens=3 crash_at=1 crashes=9]]"


@pytest.fixture
def app(settings: Settings) -> Iterator[Celery]:
    """The app as another process makes it, to ask about results and events."""
    app = create_app(settings)
    yield app
    app.close()


class Heard:
    """All events so far, as they came and as Celery's own in-memory view has them."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self._state = State()

    def take(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        self._state.event(event)

    def of(self, job_id: str) -> list[str]:
        """The types of a job's events."""
        return [event["type"] for event in self.events if event.get("uuid") == job_id]

    def state(self, job_id: str) -> str:
        """The state that a monitor shows for the job."""
        return str(self._state.tasks[job_id].state)


@contextmanager
def hearing(app: Celery) -> Iterator[Heard]:
    """Listens to the events of all workers for the length of the block."""
    heard, listening = Heard(), threading.Event()
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": heard.take})

        def listen() -> None:
            for _ in receiver.itercapture(limit=None, timeout=None, wakeup=False):
                listening.set()

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            assert listening.wait(10)
            yield heard
        finally:
            receiver.should_stop = True
            thread.join(10)


def wake(ledger: Ledger, *job_ids: str) -> None:
    """Pushes wake-ups by hand, ahead of everything that waits."""
    template = str(ledger.redis.hget(keys.entry("inst0"), "wakeup"))
    for job_id in job_ids:
        message = wakeup(template, job_id, f"{job_id}.again")
        ledger.redis.lpush(keys.queue("inst0"), json.dumps(message))


def test_inspect_answers_while_a_job_runs_and_nothing_shows_a_prompt(
    client: LLMClient, app: Celery, redis_url: str, start_workers: StartWorkers
) -> None:
    # Given
    (worker,) = start_workers("inst0")
    with hearing(app) as heard:
        done = client.submit(f"{SECRET} hello", agent_id="a")
        failed = client.submit(FAILS, agent_id="a")
        assert (done.outcome().state, failed.outcome().state) == ("succeeded", "failed")
        running = client.submit(
            f"{SECRET} [[mock tokens=60000 tps=100]]", agent_id="a", max_tokens=60_000
        )
        begun(running)

        # When
        shown = {
            command: celery(redis_url, "inspect", command, "--json", "-t", "2")
            for command in ("ping", "active", "stats")
        }
        made = running.status()
        eventually(lambda: heard.of(running.id) == ["task-received", "task-started"])

    # Then
    assert made.state == "running"
    answers = {command: json.loads(run.stdout) for command, run in shown.items()}
    (node,) = answers["ping"]
    assert node.startswith("inst0@")
    assert answers["ping"] == {node: {"ok": "pong"}}
    (task,) = answers["active"][node]
    assert (task["id"], task["name"], task["args"]) == (running.id, "apexq.run", [])
    assert answers["stats"][node]["total"] == {"apexq.run": 3}
    assert answers["stats"][node]["pool"]["max-concurrency"] == 1
    running.cancel()
    assert running.outcome(timeout=10).state == "cancelled"

    assert SECRET not in "".join(run.stdout + run.stderr for run in shown.values())
    assert heard.of(done.id) == ["task-received", "task-started", "task-succeeded"]
    assert heard.of(failed.id) == ["task-received", "task-started", "task-failed"]
    assert SECRET not in json.dumps(heard.events)
    assert "Hello" not in json.dumps(heard.events)
    assert SECRET not in worker.log


def test_flower_shows_workers_and_tasks_as_they_are(
    client: LLMClient, ledger: Ledger, redis_url: str, start_workers: StartWorkers, tmp_path: Path
) -> None:
    # Given
    start_workers("inst0")
    with flower(redis_url, tmp_path) as shown:
        (node,) = shown.get("workers")
        assert node.startswith("inst0@")
        # Flower asks a worker one question after another, and shows each answer as it comes.
        queues = eventually(lambda: shown.get("workers")[node].get("active_queues"))
        assert [queue["name"] for queue in queues] == ["inst0"]

        # When
        done = client.submit(f"{SECRET} hello", agent_id="a")
        failed = client.submit(FAILS, agent_id="a")
        crashed = client.submit(CRASHES, agent_id="a")
        dead = client.submit(DIES, agent_id="a")
        ended = [job.outcome(timeout=20).state for job in (done, failed, crashed, dead)]
        cancelled = closed_gate(client)
        wake(ledger, "unheard-of", done.id, failed.id, dead.id)
        cancelled.cancel()
        last = client.submit("hello", agent_id="b")

        # Then
        assert ended == ["succeeded", "failed", "succeeded", "dead"]
        eventually(lambda: shown.states().get(last.id) == "SUCCESS")
        states = shown.states()
        assert {job.id: states[job.id] for job in (done, failed, crashed, dead, cancelled)} == {
            done.id: "SUCCESS",
            failed.id: "FAILURE",
            crashed.id: "SUCCESS",
            dead.id: "FAILURE",
            cancelled.id: "REVOKED",
        }
        assert states["unheard-of"] != "SUCCESS"
        assert shown.get("tasks")[failed.id]["exception"].startswith("JobFailed(")
        for path in ("tasks", "workers?refresh=1", f"task/info/{failed.id}"):
            assert SECRET not in json.dumps(shown.get(path))


def test_a_job_that_was_cancelled_while_it_waited_shows_as_revoked(
    client: LLMClient, app: Celery, start_workers: StartWorkers
) -> None:
    start_workers("inst0")
    with hearing(app) as heard:
        gate = closed_gate(client)
        cancelled = client.submit("hello", agent_id="a")
        assert cancelled.cancel() == "cancelled"
        gate.cancel()
        last = client.submit("hello", agent_id="b")
        eventually(lambda: "task-succeeded" in heard.of(last.id))

    assert heard.state(cancelled.id) == "REVOKED"


def test_the_password_of_redis_is_shown_nowhere(tmp_path: Path) -> None:
    acl = ["--user", "apexq", "on", f">{SECRET}", "~*", "&*", "+@all"]
    with servers.server(servers.embedded(), tmp_path, *acl) as (url, _):
        with_password = url.replace("redis://", f"redis://apexq:{SECRET}@")
        with working(with_password, tmp_path, "inst0") as (worker,):
            for command in ("inspect conf", "inspect report", "report"):
                run = celery(with_password, *command.split())
                assert "broker_url" in run.stdout
                assert SECRET not in run.stdout + run.stderr
        assert SECRET not in worker.log


def test_a_worker_told_to_stop_at_the_moment_it_hands_a_job_over_ends_soon(
    client: LLMClient, app: Celery, start_workers: StartWorkers
) -> None:
    # Given a child that has not taken its job up yet
    (worker,) = start_workers("inst0")
    child = child_of(worker.process.pid)
    with hearing(app) as heard:
        child.suspend()
        job = client.submit("hello", agent_id="a")
        eventually(lambda: heard.of(job.id))
        # When
        worker.process.terminate()
        eventually(lambda: "worker-offline" in [event["type"] for event in heard.events])
        child.resume()
        # Then
        assert job.result(timeout=10).attempt == 1
        try:
            worker.process.wait(10)
        finally:
            with suppress(psutil.NoSuchProcess):
                child.kill()
