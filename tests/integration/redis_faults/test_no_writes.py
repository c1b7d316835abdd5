"""Redis takes no writes: nobody works there, and everybody waits and says why."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import redis

from producer import LLMClient, RedisUnavailable
from tests.support.redis_faults import SLOW, ask, ended_once, full, replica, unable_to_save
from tests.support.sentences import is_one_sentence
from tests.support.waiting import eventually
from tests.support.workers import Worker
from tests.torture.server import Server

Fault = Callable[[redis.Redis, Path], AbstractContextManager[None]]


@pytest.mark.parametrize(
    ("fault", "advice"),
    [(unable_to_save, "cannot save to its disk; free space"), (replica, "is a replica")],
)
def test_callers_are_told_why_nothing_can_be_written_and_workers_wait_for_it(
    server: Server,
    client: LLMClient,
    worker: Worker,
    admin: redis.Redis,
    tmp_path: Path,
    fault: Fault,
    advice: str,
) -> None:
    # Given
    running = ask(client, SLOW)
    events = running.stream()
    read = [next(events)]
    waiting = ask(client, "hello")

    # When
    with fault(admin, tmp_path / "data"):
        for call in (lambda: ask(client), waiting.cancel):
            with pytest.raises(RedisUnavailable, match=advice) as refused:
                call()
            assert is_one_sentence(refused.value)
        admin.client_kill_filter(_type="normal", skipme=True)  # who comes anew finds it so, too
        eventually(lambda: "Trying again" in worker.log)

    # Then
    read += events
    assert "".join(event.text for event in read) == ended_once(running).text
    ended_once(waiting)
    assert worker.process.poll() is None


@pytest.mark.parametrize("fault", [full, unable_to_save, replica])
def test_a_worker_that_waits_for_work_comes_back_by_itself(
    server: Server,
    client: LLMClient,
    worker: Worker,
    admin: redis.Redis,
    tmp_path: Path,
    fault: Fault,
) -> None:
    ended_once(ask(client, "hello"))

    with fault(admin, tmp_path / "data"):
        admin.client_kill_filter(_type="normal", skipme=True)
        # One that was about to ask again is connected anew without a word, where reading is enough.
        eventually(lambda: "Trying" in worker.log or _waits_for_work(admin))

    ended_once(ask(client, "hello"))
    assert "Traceback" not in worker.log


def _waits_for_work(admin: redis.Redis) -> bool:
    return any(connection["cmd"] == "brpop" for connection in admin.client_list())
