"""Redis is there and does not answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ledger.redis_client import CONNECTION
from producer import LLMClient, RedisUnavailable
from tests.support.redis_faults import ask, ended_once
from tests.support.sentences import is_one_sentence
from tests.support.workers import working
from tests.torture.server import Server

FREEZE_S = 30.0


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
