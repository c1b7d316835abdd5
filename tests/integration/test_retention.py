"""Nothing grows for ever: whatever jobs leave expires, or is one of a few keys that are bounded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis

from ledger import keys
from ledger.redis_client import Ledger
from ledger.settings import Settings
from producer import ApexError, BudgetExceeded, Job, LLMClient
from tests.conftest import StartWorkers
from tests.support.gates import begun
from tests.support.registering import register
from tests.support.snapshots import CELERYS_OWN
from tests.support.waiting import eventually

PAGE = (Path(__file__).parents[2] / "docs" / "retention.md").read_text("utf-8")

# What docs/retention.md says of each kind of key: | `name` | kind of value | bounded by | gone |
ROWS = dict(re.findall(r"^\| `([^`]+)` \|.*\| ([^|]+) \|$", PAGE, re.MULTILINE))


@pytest.fixture
def server(redis_url: str) -> Iterator[Any]:
    with closing(redis.Redis.from_url(redis_url, decode_responses=True)) as server:
        yield server


def end_in_every_way(client: LLMClient) -> None:
    """Jobs that succeed, fail, die, expire, are cancelled as they wait or run, or are refused."""
    asked: dict[str, Any] = {"agent_id": "a", "tenant": "acme"}
    ended = [
        client.submit("hello", **asked, session_id="s", history=True, episode_id="e"),
        client.submit("[[mock tokens=5 error_at=2]]", **asked),
        client.submit("[[mock tokens=5 crash_at=1 crashes=99]]", **asked),
    ]
    for job in ended:
        job.outcome(timeout=30)
    for _ in range(2):
        client.complete("hello", **asked, cache=True)
    with client.episode("e2", token_budget=10) as episode, pytest.raises(BudgetExceeded):
        episode.submit("hello", agent_id="a")
    running = client.submit("[[mock tokens=2000 tps=50]]", **asked, max_tokens=3000)
    begun(running)
    late = client.submit("hello", **asked, queue_timeout_s=0.001)
    waiting = client.submit("hello", **asked)
    assert waiting.cancel() == "cancelled"
    assert running.cancel() == "stopping"
    states = [job.outcome(timeout=20).state for job in (*ended, running, late, waiting)]
    assert states == ["succeeded", "failed", "dead", "cancelled", "expired", "cancelled"]


def kind_of(key: str) -> str:
    """The name of the kind in the page: what stands between the prefix and the ids."""
    return key.removeprefix(keys.PREFIX).partition(":")[0]


def test_what_jobs_leave_expires_or_is_bounded(
    client: LLMClient, start_workers: StartWorkers, server: Any
) -> None:
    start_workers("inst0", env={"APEX_MAX_ATTEMPTS": "2"})

    end_in_every_way(client)

    ours = list(server.scan_iter(f"{keys.PREFIX}*"))
    for_ever = {key for key in ours if server.ttl(key) == -1}
    stays = {name for name, gone in ROWS.items() if gone.startswith("stays")}
    assert {kind_of(key) for key in ours} <= ROWS.keys()
    assert {kind_of(key) for key in for_ever if kind_of(key) != "budget"} <= stays
    budgets = {key for key in for_ever if kind_of(key) == "budget"}
    assert {key.split(":")[2] for key in budgets} <= {"tenant", "agent", "role"}


def test_beside_the_ledgers_keys_there_are_only_celerys(
    client: LLMClient, start_workers: StartWorkers, server: Any
) -> None:
    start_workers("inst0")

    end_in_every_way(client)

    def foreign() -> list[str]:
        known = (keys.PREFIX, *(name.decode() for name in CELERYS_OWN))
        return [key for key in server.scan_iter() if not key.startswith(known)]

    assert eventually(lambda: foreign() == [])  # the lists are empty once their wake-ups are read


def test_what_expires_is_gone_after_its_time(
    settings: Settings, start_workers: StartWorkers, server: Any
) -> None:
    start_workers("inst0", env={"APEX_RETENTION_S": "0.2", "APEX_SESSION_RETENTION_S": "0.2"})
    asked: dict[str, Any] = {"agent_id": "a", "session_id": "s", "history": True}

    with LLMClient(settings.model_copy(update={"session_retention_s": 0.2})) as client:
        job = client.submit("hello", **asked)

        assert eventually(lambda: is_gone(job))
    went = ("job", "request", "stream", "result", "session", "budget:session")
    patterns = [f"{keys.PREFIX}{kind}:*" for kind in went]
    assert eventually(lambda: [key for one in patterns for key in server.scan_iter(one)] == [])


def is_gone(job: Job) -> bool:
    try:
        job.status()
    except ApexError as error:
        return error.code == "job_not_found"
    return False


def test_shares_of_tenants_that_are_long_gone_are_dropped(
    client: LLMClient, ledger: Ledger, server: Any
) -> None:
    register(ledger)
    client.submit("hello", agent_id="a", tenant="waiting")
    fair = keys.fair("inst0")
    now = 2**40 + 10**6  # the virtual time of the band NORMAL
    server.hset(fair, mapping={"v2": now, "f2:ahead": now + 1})
    gone = {f"f2:tenant-{number}": now - 1 for number in range(10_000)}
    server.hset(fair, mapping=gone)

    client.submit("hello", agent_id="a", tenant="new")

    assert set(server.hkeys(fair)) == {"v2", "f2:ahead", "most"}


def test_the_page_has_a_row_for_every_kind_of_key() -> None:
    constants = {
        value.removeprefix(keys.PREFIX).rstrip(":")
        for name, value in vars(keys).items()
        if name.isupper() and isinstance(value, str) and value.startswith(keys.PREFIX)
    }
    made = [make("x") for make in MAKERS] + [make("x", "y") for make in OF_TWO]
    kinds = {kind_of(key) for key in made if key.startswith(keys.PREFIX)}
    assert (constants | kinds) - {""} == ROWS.keys()


MAKERS = [
    make
    for name, make in vars(keys).items()
    if callable(make)
    and name not in ("lru_cache", "quote", "unquote", "budget_ids", "usage")
    and not name.startswith("cache")
]
OF_TWO = [keys.cache, keys.cache_run, keys.cache_parked]
