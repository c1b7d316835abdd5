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
from tests.support.fake_server import FakeServer


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


@pytest.mark.parametrize(
    "table",
    [{"backend": "openai", "base_url": "localhost:8000/v1"}, {"backend": "vllm", "model": "m"}],
)
def test_an_instance_that_has_no_address_to_ask_at_fails(table: dict[str, str]) -> None:
    tables = [{"name": "inst0", "backend": "mock"}, {"name": "inst1", **table}]
    check = check_servers(load_settings(env={"APEX_CONFIG": ""}, instances=tables))
    assert check.status == "fail"
    assert check.found.startswith("inst1: no address that begins with http:// or https://")


def test_where_the_worker_finds_out_whom_to_ask_nothing_is_missed() -> None:
    check = check_servers(load_settings(env={"APEX_CONFIG": ""}, backend="remote"))
    assert check.status == "ok"


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


@pytest.mark.parametrize("path", ["/models@v2/v1", "/v1?user=me@home"])
def test_one_whose_address_is_not_shown_is_asked_all_the_same(
    server: FakeOpenAI, path: str
) -> None:
    address = server.url.removesuffix("/v1") + path
    check = check_servers(asking(address))
    assert (check.status, check.lines) == ("ok", ("http://… (inst0) answers",))
    assert [one.path for one in server.asked] == [path.partition("?")[0]]


def test_two_whose_addresses_are_not_shown_are_two(server: FakeOpenAI) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = f"http://127.0.0.1:{taken.getsockname()[1]}/me@home"
    check = check_servers(asking(f"{server.url}/me@home", closed))
    assert (check.status, check.found) == ("warn", "1 of 2 answer this machine")


@pytest.mark.parametrize(
    "address", ["http://me:hid/den@host/v1", "http://hid den@host:1x/v1", "http://hid\x01/den@host"]
)
def test_of_an_address_that_cannot_be_asked_no_part_is_told(address: str) -> None:
    check = check_servers(asking(address))
    assert check.status == "warn"
    assert check.lines[0].startswith("http://… (inst0) cannot be asked (")
    assert "hid" not in str(check)


def test_a_blank_in_a_path_is_sent_as_http_clients_send_it(server: FakeOpenAI) -> None:
    assert check_servers(asking(f"{server.url}/a b")).status == "ok"
    assert [one.path for one in server.asked] == ["/v1/a%20b"]


@pytest.fixture
def proxy() -> Iterator[FakeServer]:
    """One that lets nobody through."""
    with FakeServer(lambda one: one.reply(403, "Forbidden"), ()) as proxy:
        yield proxy


def test_what_a_proxy_says_is_not_taken_for_the_servers_word(
    server: FakeOpenAI, proxy: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    monkeypatch.setenv("http_proxy", "me:hidden@" + proxy.url.partition("://")[2])
    monkeypatch.setenv("no_proxy", "")
    # Then it is named, without its password
    check = check_servers(asking(server.url))
    said = f"answers 403 Forbidden, or the proxy {proxy.url} does, which NO_PROXY leaves out"
    assert (check.status, check.lines) == ("warn", (f"{server.url} (inst0) {said}",))
    # When it is left out
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    # Then
    assert check_servers(asking(server.url)).lines == (f"{server.url} (inst0) answers",)
