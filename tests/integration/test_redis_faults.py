"""What happens to jobs, readers, callers and workers when something happens to Redis."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing, closing, contextmanager
from pathlib import Path

import pytest
import redis

from ledger import keys
from ledger.messages import Result
from ledger.redis_client import CONNECTION, Ledger
from ledger.settings import load_settings
from ledger.stream import follow
from producer import AsyncLLMClient, Job, LLMClient, RedisUnavailable
from tests.support import servers
from tests.support.gates import begun
from tests.support.sentences import is_one_sentence
from tests.support.waiting import eventually
from tests.support.workers import Worker, working
from tests.torture.server import Server

SLOW = "[[mock tokens=300 tps=100]]"
BACK_WITHIN_S = 10  # seconds, as the promise is; the worker looks every two
FREEZE_S = 30.0


@pytest.fixture(params=["valkey", "redis"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own, with an append-only file."""
    binary = servers.embedded() if request.param == "valkey" else servers.stock()
    if binary is None:
        pytest.skip("no redis-server is installed")
    data = tmp_path / "data"
    data.mkdir()
    server = Server(data, binary, **{"enable-protected-configs": "yes"})
    yield server
    server.close()


@pytest.fixture
def admin(server: Server) -> Iterator[redis.Redis]:
    """The operator's own connection."""
    with redis.Redis.from_url(server.url, decode_responses=True) as admin:
        yield admin


@pytest.fixture
def client(server: Server) -> Iterator[LLMClient]:
    with LLMClient(load_settings(env={}, redis_url=server.url)) as client:
        yield client


@pytest.fixture
def worker(server: Server, tmp_path: Path) -> Iterator[Worker]:
    with working(server.url, tmp_path, "inst0") as (worker,):
        yield worker


def ask(client: LLMClient, prompt: str = "hello", **options: object) -> Job:
    return client.submit(prompt, agent_id="a", max_tokens=400, **options)  # type: ignore[arg-type]


class Readers:
    """Everybody who may wait for one job: over its stream, for its end, and both with asyncio."""

    def __init__(self, client: LLMClient, job: Job) -> None:
        self._client, self._job = client, job
        self._reading = threading.Barrier(3)
        self._pool = ThreadPoolExecutor(4)
        self._texts: list[Future[str]] = [
            self._pool.submit(self._read),
            self._pool.submit(lambda: asyncio.run(self._read_async())),
            self._pool.submit(lambda: job.result(60).text),
            self._pool.submit(lambda: asyncio.run(self._await_result())),
        ]
        self._reading.wait(10)

    def texts(self) -> list[str]:
        """What each has in the end."""
        with self._pool:
            return [text.result(60) for text in self._texts]

    def _read(self) -> str:
        events = self._job.stream()
        first = next(events).text
        self._reading.wait(10)
        return first + "".join(event.text for event in events)

    async def _read_async(self) -> str:
        async with AsyncLLMClient(self._client.settings) as client:
            events = client.job(self._job.id).stream()
            first = (await anext(events)).text
            await asyncio.to_thread(self._reading.wait, 10)
            return first + "".join([event.text async for event in events])

    async def _await_result(self) -> str:
        async with AsyncLLMClient(self._client.settings) as client:
            return (await client.job(self._job.id).result(60)).text


def ended_once(job: Job) -> Result:
    """The record of a job that ended well in its first attempt."""
    result = job.result(60)
    assert (result.state, result.attempt) == ("succeeded", 1)
    return result


# --- killed, frozen, cut off


def test_readers_and_jobs_go_on_after_redis_was_killed_and_started_again(
    server: Server, client: LLMClient, worker: Worker
) -> None:
    # Given a job that runs and is read, and three that wait
    running = ask(client, SLOW)
    readers = Readers(client, running)
    waiting = [ask(client, "hello") for _ in range(3)]

    # When
    server.kill_and_restart()
    back = time.monotonic()

    # Then
    assert readers.texts() == [ended_once(running).text] * 4
    for job in waiting:
        ended_once(job)
    assert ended_once(ask(client, "hello"))
    assert time.monotonic() - back < BACK_WITHIN_S
    assert worker.process.poll() is None


def test_killed_processes_are_noticed_at_once_also_after_redis_was_started_again(
    server: Server, client: LLMClient, admin: redis.Redis, worker: Worker
) -> None:
    # Given a worker that has lost its connection, and with it the timers of Celery's event loop
    ended_once(ask(client, "hello"))
    server.kill_and_restart()
    ended_once(ask(client, "hello"))
    job = ask(client, SLOW)
    # When the process is killed, and the one after it too
    with closing(Ledger(server.url)) as ledger:
        events = follow(ledger, job.id, timeout_s=30)
        for attempt in (1, 2):
            next(event for event in events if event.kind == "chunk" and event.attempt == attempt)
            os.kill(int(admin.hget(keys.job(job.id), "pid") or 0), signal.SIGKILL)
            killed = time.monotonic()
            # Then
            next(event for event in events if event.failed)
            assert time.monotonic() - killed < 3  # 0.2 s; Celery itself looks every 5 s
    job.cancel()


@pytest.mark.parametrize("server", ["valkey"], indirect=True)  # it takes long
def test_a_freeze_of_30_s_costs_no_job_its_attempt(
    server: Server, client: LLMClient, tmp_path: Path
) -> None:
    with working(server.url, tmp_path, "inst0", "inst1"):
        # Given a job that runs for longer than the freeze, and has little patience between tokens
        running = ask(client, "[[mock tokens=300 tps=8]]", token_timeout_s=5)
        events = running.stream()
        read = [next(events)]

        # When
        server.freeze()
        thaw = threading.Timer(FREEZE_S, server.thaw)
        thaw.start()
        began = time.monotonic()
        calls = (lambda: ask(client), running.status, lambda: drain(events, read))
        with ThreadPoolExecutor(len(calls)) as pool:
            for refused in [pool.submit(call).exception for call in calls]:
                error = refused(FREEZE_S)
                assert isinstance(error, RedisUnavailable)
                assert is_one_sentence(error)
        assert time.monotonic() - began < CONNECTION["socket_timeout"] + 5
        thaw.join()

        # Then
        read += running.stream(after=read[-1].seq)
        assert "".join(event.text for event in read) == ended_once(running).text
        ended_once(ask(client, "hello"))


def drain(events: Iterator[object], into: list[object]) -> None:
    into.extend(events)


@pytest.mark.parametrize("kind", ["normal", "pubsub"])
def test_readers_and_jobs_go_on_when_their_connections_are_cut(
    server: Server, client: LLMClient, worker: Worker, admin: redis.Redis, kind: str
) -> None:
    running = ask(client, SLOW)
    readers = Readers(client, running)

    admin.client_kill_filter(_type=kind, skipme=True)

    assert readers.texts() == [ended_once(running).text] * 4
    ended_once(ask(client, "hello"))


def test_a_reader_that_was_cut_off_for_being_slow_goes_on_where_it_was(
    server: Server, client: LLMClient, worker: Worker, admin: redis.Redis
) -> None:
    # Given a reader that does not read on, and much that is announced to it
    admin.config_set("client-output-buffer-limit", "pubsub 65536 65536 1")
    running = ask(client, SLOW)
    events = running.stream()
    first = next(events)
    seen_before = f"{first.seq} " + "x" * 100_000

    # When
    def cut_off() -> bool:
        return admin.publish(keys.stream(running.id), seen_before) == 0

    eventually(cut_off)

    # Then
    rest = "".join(event.text for event in events)
    assert first.text + rest == ended_once(running).text


def test_a_reader_that_leaves_early_is_unsubscribed_at_once(
    client: LLMClient, worker: Worker, admin: redis.Redis
) -> None:
    running = ask(client, SLOW)
    channel = keys.stream(running.id)

    def readers() -> int:
        return int(admin.pubsub_numsub(channel)[0][1])

    async def read_a_little() -> None:
        async with AsyncLLMClient(client.settings) as other:
            async with aclosing(other.job(running.id).stream()) as events:
                await anext(events)
                assert readers() == 1
            await asyncio.to_thread(eventually, lambda: readers() == 0)

    asyncio.run(read_a_little())


# --- scripts that are gone


def test_nobody_notices_that_the_scripts_are_flushed(
    server: Server, client: LLMClient, worker: Worker, admin: redis.Redis
) -> None:
    # Given a job that runs, while scripts are flushed over and over
    running = ask(client, SLOW)
    with over_and_over(admin.script_flush):
        # When
        many = [{"prompt": "hello", "agent_id": f"a{number}"} for number in range(300)]
        jobs = client.submit_many(many)
        jobs += asyncio.run(submit_many_async(client, many))

        # Then
        assert not [job.refused for job in jobs if job.refused]
        assert "".join(event.text for event in running.stream()) == ended_once(running).text
        assert jobs[0].cancel()


async def submit_many_async(client: LLMClient, many: list[dict[str, str]]) -> list[Job]:
    async with AsyncLLMClient(client.settings) as other:
        await other.submit("hello", agent_id="a")
        jobs = await other.submit_many(many)
    assert not [job.refused for job in jobs if job.refused]
    return [client.job(job.id) for job in jobs]


@contextmanager
def over_and_over(act: object) -> Iterator[None]:
    """Does something fifty times a second, in a thread."""
    stopped = threading.Event()

    def work() -> None:
        while not stopped.wait(0.02):
            act()  # type: ignore[operator]

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        try:
            yield
        finally:
            stopped.set()
        working.result(10)


# --- a server that takes no writes


@contextmanager
def full(admin: redis.Redis, data: Path) -> Iterator[None]:
    """A server that has no memory left."""
    admin.config_set("maxmemory", 1)
    try:
        yield
    finally:
        admin.config_set("maxmemory", 0)


def test_jobs_go_on_to_their_ends_when_redis_is_full_and_new_ones_are_refused(
    server: Server, client: LLMClient, worker: Worker, admin: redis.Redis, tmp_path: Path
) -> None:
    # Given one that runs and three that wait
    running = ask(client, SLOW)
    begun(running)
    first, second, third = (ask(client, "hello") for _ in range(3))

    # When
    with full(admin, tmp_path):
        with pytest.raises(RedisUnavailable, match=r"is full.*raise its maxmemory") as refused:
            ask(client)
        (job,) = client.submit_many([{"prompt": "hello", "agent_id": "a"}])

        # Then
        assert is_one_sentence(refused.value)
        assert "is full" in str(job.refused)
        assert third.cancel() == "cancelled"
        for each in (running, first, second):
            ended_once(each)
    ended_once(ask(client, "hello"))


def test_a_worker_starts_and_works_when_redis_is_full(
    server: Server, client: LLMClient, admin: redis.Redis, tmp_path: Path
) -> None:
    with working(server.url, tmp_path, "inst0"):
        pass
    waiting = ask(client, "hello")

    with full(admin, tmp_path), working(server.url, tmp_path, "inst0"):
        ended_once(waiting)


@contextmanager
def unable_to_save(admin: redis.Redis, data: Path) -> Iterator[None]:
    """A server whose disk takes no snapshot."""
    gone = data / "gone"
    gone.mkdir()
    admin.config_set("dir", str(gone))
    gone.rmdir()
    admin.config_set("appendonly", "no")
    admin.config_set("save", "3600 1")
    admin.bgsave()
    eventually(lambda: admin.info("persistence")["rdb_last_bgsave_status"] == "err")
    try:
        yield
    finally:
        admin.config_set("dir", str(data))
        admin.bgsave()
        eventually(lambda: admin.info("persistence")["rdb_last_bgsave_status"] == "ok")


@contextmanager
def replica(admin: redis.Redis, data: Path) -> Iterator[None]:
    """A server that was made a replica, as after a failover."""
    admin.replicaof("127.0.0.1", servers.free_port())
    try:
        yield
    finally:
        admin.replicaof("NO", "ONE")


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
    fault: object,
    advice: str,
) -> None:
    # Given
    running = ask(client, SLOW)
    events = running.stream()
    read = [next(events)]
    waiting = ask(client, "hello")

    # When
    with fault(admin, tmp_path / "data"):  # type: ignore[operator]
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
    fault: object,
) -> None:
    ended_once(ask(client, "hello"))

    with fault(admin, tmp_path / "data"):  # type: ignore[operator]
        admin.client_kill_filter(_type="normal", skipme=True)
        eventually(lambda: "Trying" in worker.log)

    ended_once(ask(client, "hello"))
    assert "Traceback" not in worker.log


def test_who_comes_while_redis_loads_its_data_is_told_so(
    server: Server, client: LLMClient, worker: Worker, admin: redis.Redis
) -> None:
    # Given a server that takes some seconds to load its 1,000 keys
    job = ask(client, "hello")
    ended_once(job)
    admin.mset({f"filler:{number}": "x" * 100 for number in range(1000)})
    admin.bgrewriteaof()
    eventually(lambda: not admin.info("persistence")["aof_rewrite_in_progress"])
    server.options |= {"key-load-delay": "3000", "loading-process-events-interval-bytes": "1024"}

    # When
    server.kill_and_restart()

    # Then
    with pytest.raises(RedisUnavailable, match="is still loading its data; try again") as refused:
        ask(client)
    assert is_one_sentence(refused.value)
    eventually(lambda: can_be_asked(client))
    ended_once(job)
    ended_once(ask(client, "hello"))


def can_be_asked(client: LLMClient) -> bool:
    try:
        return bool(client.get_stats())
    except RedisUnavailable:
        return False
