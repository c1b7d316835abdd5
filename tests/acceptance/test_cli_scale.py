"""`apexq scale`, `drain` and `resume` on a stack that is up."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from producer import LLMClient
from producer.cli.options import local_settings
from producer.local import detached
from tests.support.command import DONE_S, apexq, assert_one_line, started
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A directory without a stack and without an apexq.toml."""
    monkeypatch.chdir(tmp_path)
    yield
    detached.down()


def states() -> dict[str, str]:
    """What `apexq status` says of each instance."""
    shown = json.loads(apexq("status", "--json").stdout)
    return {one["name"]: one["state"] for one in shown["instances"]}


def test_a_stack_grows_and_shrinks_under_load_and_loses_nothing() -> None:
    assert apexq("up", "--instances", "1", "--detach").returncode == 0
    with LLMClient(local_settings()) as client:
        requests = [{"prompt": "hi", "agent_id": f"a{n % 9}", "max_tokens": 20} for n in range(90)]
        many = client.submit_many(requests)
        assert apexq("scale", "3").stdout.startswith("3 instances are up; ")
        assert states() == {"inst0": "ready", "inst1": "ready", "inst2": "ready"}
        many += client.submit_many(requests)
        done = json.loads(apexq("scale", "1", "--json").stdout)
        assert (done["instances"], done["stopped"]) == (["inst0"], ["inst1", "inst2"])
        assert states() == {"inst0": "ready"}
        assert {str(job.outcome(timeout=60).state) for job in many} == {"succeeded"}


def test_ctrl_c_while_it_waits_for_what_runs_leaves_all_as_it_was() -> None:
    up = apexq("up", "--instances", "2", "--detach", APEX_MOCK_DIRECTIVES="1")
    assert up.returncode == 0, up.stderr
    with LLMClient(local_settings()) as client:
        long = client.submit("[[mock tokens=9999 tps=20]]", agent_id="Coder", instance="inst1")
        next(iter(long.stream()))
        with started("scale", "1") as process:
            eventually(lambda: states()["inst1"] == "drained")
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=DONE_S)
        assert process.returncode == 130
        assert_one_line(err.lstrip(), "Interrupted.")
        assert states() == {"inst0": "ready", "inst1": "ready"}
        long.cancel()


def test_a_drained_instance_is_shown_until_it_is_resumed() -> None:
    assert apexq("up", "--instances", "2", "--detach").returncode == 0
    assert apexq("drain", "inst1").stdout == (
        "inst1 is drained: 0 waiting jobs moved, 0 wait on, 0 run and will be finished.\n"
    )
    assert states() == {"inst0": "ready", "inst1": "drained"}
    assert "takes no jobs until `apexq resume inst1`" in apexq("status").stdout
    assert json.loads(apexq("drain", "inst1", "--json").stdout)["changed"] is False
    assert apexq("resume", "inst1").stdout == (
        "inst1 takes jobs again: 0 waiting jobs came back, 0 wait.\n"
    )
    assert states() == {"inst0": "ready", "inst1": "ready"}
    unknown = apexq("drain", "inst7")
    assert unknown.returncode == 4
    assert_one_line(unknown.stderr, "There is no instance 'inst7'")


def test_instances_that_are_tables_are_not_scaled_and_none_stays_drained(tmp_path: Path) -> None:
    tables = "".join(f'[[instances]]\nname = "{name}"\nbackend = "mock"\n' for name in ("a", "b"))
    (tmp_path / "apexq.toml").write_text(tables)
    assert apexq("up", "--detach").returncode == 0
    refused = apexq("scale", "1")
    assert refused.returncode == 2
    assert_one_line(refused.stderr, "tables of apexq.toml")
    assert states() == {"a": "ready", "b": "ready"}


def test_without_a_stack_there_is_nothing_to_scale() -> None:
    refused = apexq("scale", "3")
    assert refused.returncode == 1
    assert_one_line(refused.stderr, "start one with `apexq up --detach`")
