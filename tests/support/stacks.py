"""The processes of a local stack, and small stand-ins for them."""

from __future__ import annotations

from contextlib import suppress

import psutil

from tests.support.waiting import eventually

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


def family(pids: dict[str, int]) -> list[psutil.Process]:
    """The supervisor and all that is under it."""
    supervisor = psutil.Process(pids["supervisor"])
    found = [supervisor, *supervisor.children(recursive=True)]
    assert set(pids.values()) <= {process.pid for process in found}
    return found


def assert_gone(processes: list[psutil.Process]) -> None:
    """They end soon; where the first process of a container reaps nobody, they stay as zombies."""
    with suppress(AssertionError):
        eventually(lambda: not any(map(lives, processes)), GONE_S)
    assert [one for one in processes if lives(one)] == []


def lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
