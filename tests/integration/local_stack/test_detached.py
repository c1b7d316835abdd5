"""A detached stack stays until it is taken down."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from ledger import keys
from ledger.errors import StackFailed
from producer.local import detached
from producer.local.state import State
from tests.support.stacks import GONE_S, assert_gone, family


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "state"
    detached.down(tmp_path / "state")


def test_a_detached_stack_stays_until_it_is_taken_down(fake: Any, state_dir: Path) -> None:
    assert detached.running(state_dir) is None
    state = detached.up(**fake(), state_dir=state_dir)
    processes = family({"supervisor": state.pid})
    assert detached.running(state_dir) == state
    assert state.instances == ("inst0",)
    assert sorted(path.name for path in state.log_dir.iterdir()) == [
        "supervisor.log",
        "valkey.log",
    ]
    with redis.Redis.from_url(state.redis_url) as store:
        assert store.ping()
    assert detached.down(state_dir)
    assert_gone(processes)
    assert detached.running(state_dir) is None
    assert not detached.down(state_dir)


def test_a_detached_stack_outlives_the_process_that_started_it(fake: Any, state_dir: Path) -> None:
    script = (
        "from pathlib import Path\nfrom producer.local import detached\n"
        f"detached.up(**{fake()!r}, state_dir=Path({str(state_dir)!r}))"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    state = detached.running(state_dir)
    assert state is not None
    with redis.Redis.from_url(state.redis_url) as store:
        assert store.hget(keys.entry("inst0"), "state") == b"ready"


def test_a_second_detached_stack_in_the_same_place_is_refused(fake: Any, state_dir: Path) -> None:
    state = detached.up(**fake(), state_dir=state_dir)
    with pytest.raises(StackFailed, match=r"up already in .*apexq down"):
        detached.up(**fake(), state_dir=state_dir)
    assert detached.running(state_dir) == state


def test_data_of_a_detached_stack_are_there_after_down_and_up(fake: Any, state_dir: Path) -> None:
    for written in (None, b"1"):
        state = detached.up(**fake(), state_dir=state_dir)
        with redis.Redis.from_url(state.redis_url) as store:
            assert store.get("number") == written
            store.set("number", 1)
        assert detached.down(state_dir)


def test_the_valkey_of_a_detached_stack_is_started_again(fake: Any, state_dir: Path) -> None:
    state = detached.up(**fake(), state_dir=state_dir)
    valkey = next(one for one in psutil.Process(state.pid).children() if "valkey" in one.name())
    patient = Retry(ConstantBackoff(0.05), 200, supported_errors=(RedisConnectionError,))
    with redis.Redis.from_url(state.redis_url, retry=patient) as store:
        store.set("number", 1)
        store.bgrewriteaof()
        valkey.kill()
        valkey.wait(GONE_S)
        assert store.ping()


def test_a_failed_start_leaves_no_state(fake: Any, state_dir: Path) -> None:
    with pytest.raises(StackFailed):
        detached.up(**fake("sentence", "no"), state_dir=state_dir)
    assert detached.running(state_dir) is None
    assert (state_dir / "log" / "inst0.log").read_text() == "no\n"


def test_a_stale_state_file_never_ends_somebody_elses_process(state_dir: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as other:
        stale = State(
            pid=other.pid,
            started_at=0,
            redis_url="redis://localhost/0",
            instances=("inst0",),
            log_dir=state_dir,
        )
        state_dir.mkdir()
        (state_dir / "lock").touch()
        (state_dir / "state.json").write_text(stale.model_dump_json())
        assert detached.running(state_dir) is None
        assert not detached.down(state_dir)
        assert other.poll() is None
        other.kill()
