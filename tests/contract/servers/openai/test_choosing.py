"""Which of several servers is asked, and how many at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("openai")

from tests.contract.servers.openai.conftest import Over, Serve
from tests.support import fake_openai
from tests.support.fake_openai import answers_with
from tests.support.loaded import pieces_of, run_of
from workers.backends.openai.berths import Berths

SESSIONS = 40  # so many that each of three servers surely is the home of one


def test_a_session_goes_to_the_same_endpoint_again(serve: Serve, over: Over) -> None:
    servers = [serve(answers_with("a")) for _ in range(3)]
    backend = over(*(server.url for server in servers))

    for number in range(3 * SESSIONS):
        session = f"s{number % SESSIONS}"
        pieces_of(backend, session, session_id=session)

    homes = [{body["messages"][0]["content"] for body in server.bodies} for server in servers]
    assert [len(server.bodies) for server in servers] == [3 * len(home) for home in homes]
    assert sum(len(home) for home in homes) == SESSIONS
    assert all(homes)


def test_the_least_busy_endpoint_is_taken(serve: Serve, over: Over) -> None:
    # Given two servers, and four answers of which each is begun and not ended
    silent = fake_openai.falls_silent_after("a")
    servers = [serve(silent), serve(silent)]
    backend = over(*(server.url for server in servers))
    # When
    streams = [backend.stream(run_of("Say hi")) for _ in range(4)]
    for pieces in streams:
        next(pieces)
    # Then
    assert [len(server.bodies) for server in servers] == [2, 2]
    for pieces in streams:
        pieces.close()  # type: ignore[attr-defined]


def test_an_endpoint_gets_no_more_than_its_most_at_once(serve: Serve, over: Over) -> None:
    # Given
    first, second = (serve(fake_openai.falls_silent_after("a")) for _ in range(2))
    backend = over(first.url, second.url, max_concurrent=1)
    streams = [backend.stream(run_of("Say hi")) for _ in range(2)]
    for pieces in streams:
        next(pieces)
    # When a third one waits, and is stopped meanwhile
    waiting = run_of("Say hi")
    waiting.stop.set()
    assert list(backend.stream(waiting)) == []
    third = backend.stream(run_of("Say hi"))
    streams[0].close()  # type: ignore[attr-defined]
    # Then it has the place of the first one
    assert next(third).text == "a"
    assert sorted([len(first.bodies), len(second.bodies)]) == [1, 2]
    third.close()  # type: ignore[attr-defined]
    streams[1].close()  # type: ignore[attr-defined]


HOLDS_ONE = """
import sys
from pathlib import Path
from workers.backends.openai.berths import Berths
berths = Berths(sys.argv[1], None, Path(sys.argv[2]))
print(berths.take(0), flush=True)
sys.stdin.read()
"""


def test_berths_are_shared_by_processes_and_free_when_one_is_killed(tmp_path: Path) -> None:
    # Given another process that has the first berth
    url = "http://localhost:8001/v1"
    command = [sys.executable, "-c", HOLDS_ONE, url, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        berths = Berths(url, None, tmp_path)
        assert not berths.take(0)
        assert berths.take(1)
        # When
        other.kill()
        other.wait(10)
        # Then
        assert berths.take(0)
        berths.close()
