"""What `apexq doctor` finds of models' servers."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from ledger.settings import Settings, load_settings
from producer.cli import server_checkup
from producer.cli.server_checkup import check_servers
from tests.support import fake_openai
from tests.support.fake_openai import FakeOpenAI


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with fake_openai.serving() as server:
        yield server


def asking(*addresses: str) -> Settings:
    tables: list[dict[str, Any]] = [
        {"name": f"inst{number}", "backend": "openai", "base_url": address}
        for number, address in enumerate(addresses)
    ]
    return load_settings(env={"APEX_CONFIG": ""}, instances=tables)


def test_where_no_instance_asks_a_server_there_is_nothing_to_find() -> None:
    check = check_servers(load_settings(env={"APEX_CONFIG": ""}))
    assert (check.status, check.found) == ("ok", "no instance asks a server")


def test_a_server_that_answers_is_named_once_with_all_that_ask_it(server: FakeOpenAI) -> None:
    check = check_servers(asking(server.url, server.url))
    assert (check.status, check.found) == ("ok", "1 of 1 answer this machine")
    assert check.lines == (f"{server.url} (inst0, inst1) answers",)


def test_one_that_is_not_there_is_a_warning_with_the_reason(server: FakeOpenAI) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    check = check_servers(asking(server.url, closed))
    assert (check.status, check.found) == ("warn", "1 of 2 answer this machine")
    assert check.lines[1].startswith(f"{closed} (inst1) does not answer (")
    assert "refused" in check.lines[1]
    assert check.todo


def test_one_that_is_not_ready_is_a_warning(server: FakeOpenAI) -> None:
    server.well = False
    [line] = check_servers(asking(server.url)).lines
    assert line.endswith("(inst0) answers 503 Service Unavailable")


def test_one_that_says_nothing_is_waited_for_no_longer_than_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_checkup, "PATIENCE_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        check = check_servers(asking(f"http://127.0.0.1:{mute.getsockname()[1]}"))
    assert check.status == "warn"
    assert "does not answer" in check.lines[0]


def test_no_password_is_sent_or_shown(server: FakeOpenAI) -> None:
    with_password = server.url.replace("http://", "http://me:hidden@") + "?key=hidden"
    check = check_servers(asking(with_password))
    assert check.status == "ok"
    assert "hidden" not in str(check)
