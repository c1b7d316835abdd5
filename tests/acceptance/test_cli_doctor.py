"""`apexq doctor`, run as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from producer.local import LocalStack, detached
from tests.support import gguf_header
from tests.support.command import apexq


def test_doctor_finds_a_running_stack_well(stack: LocalStack) -> None:
    done = apexq("doctor", url=stack.redis_url)
    assert done.returncode == 0, done.stdout
    found = [line.split()[:2] for line in done.stdout.splitlines() if line[:4] in ("ok  ", "warn")]
    assert found == [
        ["ok", "python"],
        ["ok", "extras"],
        ["ok", "settings"],
        ["ok", "backends"],
        ["ok", "servers"],
        ["ok", "redis"],
        ["ok", "clock"],
        ["ok", "version"],
        ["ok", "permissions"],
        ["ok", "role"],
        ["ok", "eviction"],
        ["ok", "room"],
        ["warn", "persistence"],  # this stack has no memory
        ["ok", "connections"],
        ["ok", "latency"],
        ["ok", "instances"],
        ["ok", "memory"],
    ]


def test_doctor_says_what_to_do_without_redis_and_hides_the_password() -> None:
    done = apexq("doctor", "--json", url="redis://:hunter2@127.0.0.1:1/0")
    found = json.loads(done.stdout)
    assert (done.returncode, found["ok"]) == (1, False)
    assert "hunter2" not in done.stdout
    redis = next(check for check in found["checks"] if check["name"] == "redis")
    assert redis["status"] == "fail"
    assert "apexq up" in redis["todo"]


def test_doctor_finds_a_wrong_setting() -> None:
    done = apexq("doctor", APEX_LLM_INSTANCE="2")
    assert done.returncode == 1
    assert "did you mean APEX_LLM_INSTANCES?" in done.stdout


def test_doctor_finds_a_backend_that_there_is_not() -> None:
    done = apexq("doctor", APEX_LLM_BACKEND="olama", APEX_LLM_INSTANCES="1")
    assert done.returncode == 1
    assert "1 instance, read from the environment" in done.stdout
    assert "fail  backends     inst0: there is no backend 'olama'" in done.stdout


@pytest.fixture
def too_large(tmp_path: Path) -> Path:
    """A GGUF file of 8.8 TB, which takes no room on the disk."""
    return gguf_header.write(tmp_path / "large.gguf", size=1 << 43)


def test_doctor_shows_the_arithmetic_of_a_model_that_does_not_fit(
    stack: LocalStack, too_large: Path
) -> None:
    facts = {"APEX_LLM_BACKEND": "llama_cpp", "APEX_GGUF_MODEL_PATH": str(too_large)}
    # Two of the five instances are up, and count no more.
    done = apexq("doctor", url=stack.redis_url, **facts)
    assert done.returncode == 1
    assert "fail  memory       the models do not fit" in done.stdout
    assert "3 × large.gguf in RAM" in done.stdout
    assert "weights                        8,796.09 GB" in done.stdout
    warned = apexq("doctor", "--json", url=stack.redis_url, **facts, APEX_MEMORY_CHECK="0")
    checks = {check["name"]: check for check in json.loads(warned.stdout)["checks"]}
    assert (warned.returncode, checks["memory"]["status"]) == (0, "warn")


def test_doctor_counts_no_instances_that_the_stack_of_this_directory_was_not_to_have(
    too_large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    monkeypatch.chdir(tmp_path)
    assert apexq("up", "--instances", "1", "--detach").returncode == 0
    try:
        # When (the settings have five)
        facts = {"APEX_LLM_BACKEND": "llama_cpp", "APEX_GGUF_MODEL_PATH": str(too_large)}
        done = apexq("doctor", **facts)
    finally:
        detached.down()
    # Then
    assert done.returncode == 0, done.stdout
    assert "no model is to be loaded into this machine's memory" in done.stdout
