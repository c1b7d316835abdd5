"""What holds for every command: its help, and what it says where Redis or a setting is wrong."""

from __future__ import annotations

import json
import socket

import pytest
from click.testing import CliRunner

from producer.cli.main import cli
from tests.support.command import apexq, assert_one_line

UNREACHABLE = "redis://127.0.0.1:1/0"


@pytest.mark.parametrize("args", [["ask", "hi"], ["status"], ["status", "x"], ["up"]])
def test_without_redis_there_is_one_line_and_code_3(args: list[str]) -> None:
    done = apexq(*args, url=UNREACHABLE)
    assert done.returncode == 3
    assert_one_line(done.stderr, f"Redis at {UNREACHABLE} does not answer")
    done = apexq(*args, "--json", url=UNREACHABLE)
    assert (done.returncode, done.stderr) == (3, "")
    assert json.loads(done.stdout)["error"]["code"] == "redis_unavailable"


def test_a_frozen_redis_is_given_up_within_the_time_outs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        done = apexq("status", url=f"redis://127.0.0.1:{mute.getsockname()[1]}/0")
    assert done.returncode == 3
    assert_one_line(done.stderr, "does not answer")


@pytest.mark.parametrize("args", [["ask", "hi"], ["status"], ["up"], ["worker", "inst0"], ["demo"]])
def test_a_wrong_setting_is_one_line_and_code_2(args: list[str]) -> None:
    done = apexq(*args, APEX_MAX_ATEMPTS="3")
    assert done.returncode == 2
    assert_one_line(done.stderr, "did you mean APEX_MAX_ATTEMPTS?")


def test_version_and_help() -> None:
    assert apexq("--version").stdout.startswith("apexq, version ")
    assert "Exit codes:" in apexq("--help").stdout
    assert apexq().returncode == 2


def test_the_commands_are_click_commands_that_others_may_mount() -> None:
    assert CliRunner().invoke(cli, ["status", "--help"]).exit_code == 0
