"""The commands that start and stop things: `apexq worker`, `up` and `down`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger import keys
from ledger.overview import read_entries
from ledger.redis_client import Ledger
from ledger.settings import Settings
from producer import LLMClient
from producer.local import LocalStack, detached
from tests.support import gguf_header
from tests.support.command import APEXQ, DONE_S, apexq, assert_one_line, read, started


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    """Two instances."""
    with LocalStack(instances=2) as stack:
        yield stack


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A directory without a stack and without an apexq.toml."""
    monkeypatch.chdir(tmp_path)
    yield
    detached.down()


def test_worker_serves_its_instance_until_it_is_stopped(stack: LocalStack, tmp_path: Path) -> None:
    settings = stack.settings.model_copy(update={"instances": three_instances(stack.settings)})
    env = {**settings.to_env(), "REDIS_URL": stack.redis_url}
    with (tmp_path / "log").open("w+b") as log:
        with subprocess.Popen(
            [APEXQ, "worker", "inst2", "--loglevel", "INFO"],
            env={**os.environ, **env},
            stdout=log,
            stderr=log,
        ) as process:
            try:
                wait_until_ready(stack.redis_url, "inst2")
                with LLMClient(settings) as client:
                    assert client.complete("hi", agent_id="Runner").instance == "inst2"
            finally:
                process.terminate()
        assert process.returncode == 0
        log.seek(0)
        assert b"inst2@" in log.read()


def three_instances(settings: Settings) -> tuple[Any, ...]:
    first = settings.instances[0]
    third = first.model_copy(update={"name": "inst2"})
    return (*settings.instances, third)


def wait_until_ready(url: str, name: str) -> None:
    ledger = Ledger(url)
    with ledger.subscription(keys.INSTANCES) as announcements:
        for _ in range(DONE_S):
            if ledger.run(read_entries([name]))[0].state == "ready":
                break
            announcements.next(1.0)
    ledger.close()


def test_worker_refuses_what_is_taken_unknown_or_two(stack: LocalStack) -> None:
    taken = apexq("worker", "inst0", url=stack.redis_url)
    assert taken.returncode == 1
    assert "inst0 is already served by inst0@" in taken.stderr
    unknown = apexq("worker", "inst77", url=stack.redis_url)
    assert unknown.returncode == 2
    assert_one_line(unknown.stderr, "There is no instance 'inst77'")
    two = apexq("worker", "inst0", "-Q", "inst1", url=stack.redis_url)
    assert two.returncode == 2
    assert_one_line(two.stderr, "leave -Q out")


def test_a_detached_stack_serves_its_directory_until_down() -> None:
    done = apexq("up", "--instances", "2", "--detach")
    assert done.returncode == 0, done.stderr
    url = done.stdout.partition("export REDIS_URL=")[2].strip()
    assert sorted(line for line in done.stdout.splitlines() if "is ready" in line) == [
        "inst0 is ready (mock)",
        "inst1 is ready (mock)",
    ]
    assert json.loads(apexq("status", "--json").stdout)["redis"] == url
    assert apexq("ask", "hello").stdout.startswith("Hello")
    again = apexq("up", "--detach")
    assert again.returncode == 1
    assert_one_line(again.stderr, "stop it with `apexq down`")
    assert apexq("down").stdout == "The stack is down.\n"
    assert json.loads(apexq("down", "--json").stdout) == {"stopped": False}
    assert apexq("status", url=url).returncode == 3


def test_up_stays_until_ctrl_c() -> None:
    with started("up", "--instances", "1") as process:
        read(process, "export REDIS_URL=")
        assert json.loads(apexq("status", "--json").stdout)["instances"][0]["state"] == "ready"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DONE_S)
    assert (process.returncode, err) == (0, "")
    assert out.endswith("The stack is down.\n")
    assert detached.running() is None


def test_up_refuses_models_that_do_not_fit_with_the_arithmetic(tmp_path: Path) -> None:
    model = str(gguf_header.write(tmp_path / "large.gguf", size=1 << 43))
    up = ("up", "--backend", "llama_cpp", "--model", model, "--instances", "2")
    done = apexq(*up)
    assert (done.returncode, done.stdout) == (7, "")
    *arithmetic, sentence = done.stderr.splitlines()
    assert arithmetic[0] == "2 × large.gguf in RAM"
    assert arithmetic[-1].endswith("too little")
    assert_one_line(f"{sentence}\n", "2 instances need 17594.1 GB and ")
    found = json.loads(apexq(*up, "--json").stdout)["error"]
    assert (found["code"], found["facts"]["place"]) == ("does_not_fit", "RAM")
    assert found["facts"]["arithmetic"][:-1] == arithmetic[:-1]  # what is available changes
    assert detached.running() is None


def test_up_with_force_starts_them_all_the_same(tmp_path: Path) -> None:
    model = str(gguf_header.write(tmp_path / "large.gguf", size=1 << 43))
    up = ("up", "--backend", "llama_cpp", "--model", model, "--instances", "1", "--force")
    done = apexq(*up)
    assert done.returncode == 1  # it has a header only, so it cannot be loaded
    assert "starting them all the same" in done.stderr
    assert "Instance inst0" in done.stderr
    assert "of memory are left" not in done.stderr  # the worker does not refuse it either


@pytest.mark.parametrize(
    ("args", "code", "sentence"),
    [
        (["--instances", "0"], 2, "takes a number from 1 to 10000"),
        (["--port", "70000"], 2, "70000 is not in the range"),
        (["--backend", "nonsense"], 1, "There is no backend 'nonsense'"),
    ],
)
def test_up_refuses_what_cannot_be(args: list[str], code: int, sentence: str) -> None:
    done = apexq("up", *args)
    assert done.returncode == code
    assert_one_line(done.stderr, sentence)
