"""A local stack leaves no process behind, whoever is killed."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import psutil
import pytest
import redis

from ledger import keys
from ledger.errors import StackFailed
from producer.local import LocalStack
from tests.support.stacks import GONE_S, assert_gone, family


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


def test_ctrl_c_in_the_terminal_stops_the_stack_in_order(call: Any, stock: str) -> None:
    caller, processes = call({"instances": 1, "redis_url": stock})
    os.killpg(caller.pid, signal.SIGINT)
    assert_gone(processes)
    with redis.Redis.from_url(stock, decode_responses=True) as store:
        assert store.hget(keys.entry("inst0"), "state") == "stopped"


def test_a_forked_copy_of_the_caller_does_not_stop_the_stack(fake: Any) -> None:
    with LocalStack(**fake()) as stack, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "getpid", lambda: 0)
        stack.stop()
        assert psutil.pid_exists(stack.pids["supervisor"])


def test_nothing_is_left_after_a_failed_start(fake: Any) -> None:
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(StackFailed):
        LocalStack(**fake("sentence", "no")).start()
    assert set(psutil.Process().children(recursive=True)) == before


def test_a_stack_whose_only_memory_died_ends(fake: Any) -> None:
    with LocalStack(**fake()) as stack:
        processes = family(stack.pids)
        os.kill(stack.pids["valkey"], signal.SIGKILL)
        with pytest.raises(StackFailed, match="ended by itself"):
            stack.wait(GONE_S)
        assert_gone(processes)
