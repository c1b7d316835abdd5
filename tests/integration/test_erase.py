"""Erasing a tenant or a session leaves nothing of theirs, and everything of the others."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from typing import Any

import pytest
import redis

from ledger import keys
from ledger.errors import JobNotFound
from ledger.redis_client import Ledger
from ledger.settings import Settings
from producer import Job, LLMClient
from tests.conftest import StartWorkers
from tests.support.command import APEXQ, apexq, assert_one_line, environment
from tests.support.gates import begun
from tests.support.hands import Hands
from tests.support.registering import register
from tests.support.snapshots import everything, key_names
from tests.support.waiting import eventually

SECRET = "heliotrope"


def asked(tenant: str = "acme", **options: Any) -> dict[str, Any]:
    return {"agent_id": "a", "session_id": "s", "tenant": tenant, **options}


def mentions(url: str, word: str) -> list[str]:
    """The keys in whose name or value the word stands, in any type of value."""
    found = []
    with redis.Redis.from_url(url, decode_responses=True) as server:
        readers = {
            "string": server.get,
            "hash": server.hgetall,
            "list": lambda key: server.lrange(key, 0, -1),
            "set": server.smembers,
            "zset": lambda key: server.zrange(key, 0, -1),
            "stream": server.xrange,
        }
        for key in server.scan_iter():
            kind = server.type(key)
            if kind != "none" and word in f"{key} {readers[kind](key)}":
                found.append(key)
    return found


@pytest.fixture
def left_by_others(client: LLMClient, start_workers: StartWorkers, redis_url: str) -> set[bytes]:
    """A worker, and what the tenant other has, who uses the same names as acme will."""
    start_workers("inst0")
    client.complete("hello", **asked("other"), history=True)
    return key_names(redis_url)


def test_nothing_of_an_erased_tenant_is_left_but_its_usage(
    client: LLMClient, redis_url: str, left_by_others: set[bytes]
) -> None:
    ended = client.submit(f"hello {SECRET}", **asked(), history=True, episode_id="e")
    ended.result(timeout=20)
    running = client.submit(f"[[mock tokens=2000 tps=50]] {SECRET}", **asked(), max_tokens=3000)
    begun(running)
    waiting = client.submit(f"hello {SECRET}", **asked(agent_id="b"))

    done = apexq("erase", "--tenant", "acme", "--yes", "--json", url=redis_url)

    assert (done.returncode, done.stderr) == (0, "")
    erased = json.loads(done.stdout)["erased"]
    assert (erased["jobs"], erased["cancelled"], erased["left"]) == (3, 2, [])
    for job in (ended, running, waiting):
        with pytest.raises(JobNotFound):
            job.outcome(timeout=5)
    assert mentions(redis_url, SECRET) == []
    assert eventually(lambda: all(map(is_report, mentions(redis_url, "acme"))))  # shares even out
    assert left_by_others <= key_names(redis_url)
    assert client.complete("hello again", **asked("other")).state == "succeeded"


def test_only_the_named_session_is_erased(
    client: LLMClient, redis_url: str, left_by_others: set[bytes]
) -> None:
    client.complete("hello", **asked(), history=True)
    client.complete("hello", **asked(session_id="s2"), history=True)
    kept = key_names(redis_url)
    gone = client.complete(f"hello {SECRET}", **asked(session_id="s3"), history=True)
    flags = ("--tenant", "acme", "--agent", "a", "--session", "s3", "--yes")

    done = apexq("erase", *flags, url=redis_url)

    assert done.stdout == (
        "Session s3 of agent a of tenant acme: erased 1 jobs (0 were cancelled), "
        "2 sessions and budgets.\n"
    )
    assert mentions(redis_url, SECRET) == mentions(redis_url, gone.job_id) == []
    assert key_names(redis_url) == kept


def test_a_second_erase_finds_nothing(
    client: LLMClient, redis_url: str, left_by_others: set[bytes]
) -> None:
    client.complete("hello", **asked())
    apexq("erase", "--tenant", "acme", "--yes", url=redis_url)

    done = apexq("erase", "--tenant", "acme", "--yes", url=redis_url)

    assert done.returncode == 0
    assert "erased 0 jobs" in done.stdout


def test_a_job_that_does_not_stop_is_left_and_named(
    client: LLMClient, ledger: Ledger, redis_url: str
) -> None:
    register(ledger)
    job = client.submit("hello", **asked())
    Hands(ledger).take()

    done = apexq("erase", "--tenant", "acme", "--yes", "--timeout", "0.1", url=redis_url)

    assert done.returncode == 1
    assert_one_line(done.stderr, job.id)
    assert job.status().state == "running"
    assert client.get_stats()["tokens_held"] == 0  # of the tenant default
    with LLMClient(client.settings, tenant="acme") as acme:
        assert acme.get_stats()["tokens_held"] > 0


def test_tenants_whose_names_resemble_one_another_are_told_apart(
    client: LLMClient, ledger: Ledger, redis_url: str
) -> None:
    register(ledger)
    others = ["acme2", "acme:a", "a", "*", "acm?"]
    jobs = {tenant: client.submit("hello", **asked(tenant)) for tenant in [*others, "acme"]}

    apexq("erase", "--tenant", "acme", "--yes", url=redis_url)
    apexq("erase", "--tenant", "a*", "--yes", url=redis_url)

    assert {tenant for tenant, job in jobs.items() if is_there(job)} == set(others)
    assert mentions(redis_url, keys.budget("session", "acme2"))


def is_report(key: str) -> bool:
    return key == keys.TENANTS or key.startswith(keys.USAGE)


def is_there(job: Job) -> bool:
    try:
        job.status()
    except JobNotFound:
        return False
    return True


@pytest.mark.parametrize(("answer", "code"), [("n\n", 1), ("y\n", 0)])
def test_it_asks_before_it_erases(
    client: LLMClient, ledger: Ledger, redis_url: str, answer: str, code: int
) -> None:
    register(ledger)
    job = client.submit("hello", **asked())
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer.encode())
        done = subprocess.run(
            [APEXQ, "erase", "--tenant", "acme"],
            stdin=theirs,
            capture_output=True,
            env=environment(redis_url),
            text=True,
            timeout=60,
        )
    finally:
        os.close(ours)
        os.close(theirs)

    assert done.returncode == code
    assert "Tenant acme: 1 jobs, of which 1 wait or run, 3 sessions and budgets." in done.stdout
    assert is_there(job) == (code == 1)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--tenant", "acme"], "add --yes"),
        (["--yes"], "--tenant"),
        (["--tenant", "acme", "--session", "s", "--yes"], "go together"),
        (["--tenant", "acme", "--agent", "a", "--yes"], "go together"),
        (["--tenant", "acme", "--timeout", "-1"], "--timeout"),
    ],
)
def test_it_refuses_what_it_cannot_understand(
    settings: Settings, redis_url: str, flags: list[str], sentence: str
) -> None:
    before = everything(redis_url)

    done = apexq("erase", *flags, url=redis_url)

    assert done.returncode == 2
    assert_one_line(done.stderr, sentence)
    assert everything(redis_url) == before
