"""A worker starts on its queue, or says in one line why not and leaves the others alone."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from ledger import keys
from ledger.redis_client import Ledger
from producer import LLMClient
from tests.conftest import StartWorkers
from tests.support import servers
from tests.support.commands import celery
from tests.support.gates import closed_gate
from tests.support.waiting import eventually
from tests.support.workers import READY_S, Worker

RED = json.dumps([{"name": "inst1", "backend": "mock", "colour": "red"}])

# Arguments, settings, a part of the sentence.
REFUSED: list[tuple[list[str], dict[str, str], str]] = [
    ([], {}, "none was given: start it with -Q and one of inst0, inst1"),
    (["-Q", "inst1,inst2"], {}, "2 were given: start it with -Q and one of"),
    (["-Q", "inst9"], {}, "There is no instance 'inst9'; known: inst0, inst1"),
    (["-Q", "inst0"], {}, "inst0 is already served by inst0@"),
    (["-Q", "inst1", "-c", "4"], {}, "inst1 has 1 slot(s), not 4: leave --concurrency out"),
    (["-Q", "inst1"], {"APEX_LLM_BACKEND": "nonsense"}, "no backend 'nonsense'; known: "),
    (["-Q", "inst1"], {"APEX_LLM_BACKENDD": "mock"}, "APEX_LLM_BACKENDD; did you mean APEX_LLM_B"),
    (["-Q", "inst1"], {"APEX_LEASE_S": "soon"}, "APEX_LEASE_S must be a valid number, not 'soon'"),
    (["-Q", "inst1"], {"REDIS_URL": "nonsense"}, "REDIS_URL: takes a URL, such as redis://"),
]


def is_refused_in_one_line(run: subprocess.CompletedProcess[str], said: str) -> bool:
    lines = (run.stdout + run.stderr).splitlines()
    return (
        run.returncode != 0
        and len(lines) == 1
        and lines[0].startswith("apexq: ")
        and lines[0].endswith((".", "?"))
        and said in lines[0]
    )


def test_a_worker_that_cannot_start_says_why_in_one_line_and_leaves_the_others_alone(
    client: LLMClient, ledger: Ledger, redis_url: str, start_workers: StartWorkers
) -> None:
    # Given
    (first,) = start_workers("inst0")
    owner = ledger.redis.hget(keys.entry("inst0"), "owner")
    job = closed_gate(client)

    for arguments, env, said in REFUSED:
        # When
        run = celery(redis_url, "worker", *arguments, env=env)
        # Then
        assert is_refused_in_one_line(run, said), run

    assert job.status().state == "running"
    job.cancel()
    assert client.complete("hello", agent_id="a").instance == "inst0"
    assert first.process.poll() is None
    assert ledger.redis.hget(keys.entry("inst0"), "owner") == owner
    assert ledger.redis.hkeys(keys.INSTANCES) == ["inst0"]


@pytest.mark.parametrize("command", ["inspect ping", "flower", "events --dump"])
def test_a_bad_setting_is_one_line_for_every_command_of_the_app(
    redis_url: str, command: str
) -> None:
    run = celery(redis_url, *command.split(), env={"APEX_LLM_BACKENDD": "mock"})

    assert is_refused_in_one_line(run, "did you mean APEX_LLM_BACKEND?"), run


def test_an_option_that_the_backend_does_not_have_is_refused(redis_url: str) -> None:
    run = celery(redis_url, "worker", "-Q", "inst1", env={"APEX_LLM_INSTANCES": RED})

    assert is_refused_in_one_line(run, "colour"), run


def test_a_pool_that_would_be_ignored_is_refused(redis_url: str) -> None:
    run = celery(redis_url, "worker", "-Q", "inst1", "-P", "solo")

    assert is_refused_in_one_line(run, "solo"), run


def test_a_redis_that_cannot_be_reached_ends_the_start_in_one_line() -> None:
    url = f"redis://:secret@127.0.0.1:{servers.free_port()}/0"

    run = celery(url, "worker", "-Q", "inst0", timeout_s=20)

    assert is_refused_in_one_line(run, "does not answer"), run
    assert "secret" not in run.stderr


def test_a_queue_whose_worker_was_killed_is_taken_over_at_once(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    # Given
    (killed,) = start_workers("inst0")
    assert client.complete("hello", agent_id="a").instance == "inst0"
    killed.process.kill()
    killed.process.wait(10)

    # When (a worker that finds its queue taken ends, and this would raise)
    (second,) = start_workers("inst0")

    # Then
    assert client.complete("hello", agent_id="a").instance == "inst0"
    assert second.process.poll() is None


def test_a_queue_whose_worker_is_dead_but_not_reaped_is_taken_over_at_once(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    (killed,) = start_workers("inst0")
    killed.process.kill()
    os.waitid(os.P_PID, killed.process.pid, os.WEXITED | os.WNOWAIT)

    start_workers("inst0")

    assert client.complete("hello", agent_id="a").instance == "inst0"


def test_two_workers_on_one_host_are_two_nodes(
    client: LLMClient, redis_url: str, start_workers: StartWorkers
) -> None:
    start_workers("inst0", "inst1")

    run = celery(redis_url, "inspect", "ping", "--json", "-t", "2")

    nodes = json.loads(run.stdout)
    assert {node.partition("@")[0] for node in nodes} == {"inst0", "inst1"}
    assert len({node.partition("@")[2] for node in nodes}) == 1
    assert all(answer == {"ok": "pong"} for answer in nodes.values())
    one, other = (client.complete("hello", agent_id=role) for role in ("Planner", "Coder"))
    assert (one.instance, other.instance) == ("inst0", "inst1")


def test_a_worker_that_waits_for_its_model_ends_at_once_when_it_is_told_to(
    ledger: Ledger, redis_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    # Given
    pytest.importorskip("openai")
    nowhere = f"http://127.0.0.1:{servers.free_port()}/v1"
    spec = {"name": "inst0", "backend": "openai", "base_url": nowhere, "slots": 3}
    worker = Worker("inst0", redis_url, tmp_path, {"APEX_LLM_INSTANCES": json.dumps([spec])})
    request.addfinalizer(worker.process.kill)
    entry = keys.entry("inst0")
    eventually(lambda: "waiting for" in (ledger.redis.hget(entry, "why") or ""), READY_S)
    # When
    worker.stop()
    # Then
    assert worker.process.returncode == 0
    assert ledger.redis.hmget(entry, "state", "why") == ["stopped", "shut down"]
