"""The demo, run as a user runs it: without a terminal, as JSON, and in a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from routing import ROLES
from tests.support import tiny_gguf
from tests.support.command import APEXQ, DONE_S

GONE_S = 20

ROW = re.compile(
    r"(?P<agent>\w+) +(?P<instance>inst\d) +[\d.]+ +[\d.]+ +(?P<prompt>\d+) \+ (?P<answer>\d+)"
    r" +(?P<used>\d+) of 2,000"
)


@dataclass(frozen=True)
class Shown:
    """A demo that has ended; ``family`` are the processes that it had."""

    code: int
    out: str
    err: str
    took_s: float
    family: list[psutil.Process]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """One run into a pipe."""
    return show(tmp_path_factory.mktemp("demo"))


def show(folder: Path, *args: str, **env: str) -> Shown:
    began, family = time.monotonic(), []
    with subprocess.Popen(
        [APEXQ, "demo", *args],
        cwd=folder,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        out = ""
        for line in process.stdout:
            out += line
            if line.startswith("Ready after"):
                family = psutil.Process(process.pid).children(recursive=True)
        _, err = process.communicate(timeout=DONE_S)
    return Shown(process.returncode, out, err, time.monotonic() - began, family)


@pytest.fixture
def rows(plain: Shown) -> dict[str, re.Match[str]]:
    return {found["agent"]: found for found in ROW.finditer(plain.out)}


def test_it_ends_with_0_and_complains_of_nothing(plain: Shown) -> None:
    assert (plain.code, plain.err) == (0, ""), plain.out
    assert "Every check held." in plain.out


def test_every_agent_speaks_in_plain_lines_twice(plain: Shown) -> None:
    assert "\x1b" not in plain.out
    alone, _, together = plain.out.partition("--- all five at once ---")
    for agent in ROLES:
        answers = [
            " ".join(re.findall(rf"^\[{agent}\] (.+)$", part, re.MULTILINE))
            for part in (alone, together)
        ]
        assert re.search(r"\[context [0-9a-f]{12}\]$", answers[0])
        assert answers[0] == answers[1]


def test_at_once_the_agents_lines_alternate(plain: Shown) -> None:
    together = plain.out.partition("--- all five at once ---")[2]
    speakers = re.findall(r"^\[(\w+)\]", together, re.MULTILINE)
    assert set(speakers[:5]) == set(ROLES)


def test_the_table_has_each_agent_on_its_own_instance(rows: dict[str, re.Match[str]]) -> None:
    assert {agent: row["instance"] for agent, row in rows.items()} == {
        agent: f"inst{number}" for number, agent in enumerate(ROLES)
    }


def test_the_tokens_add_up_to_what_the_budget_says(
    plain: Shown, rows: dict[str, re.Match[str]]
) -> None:
    for row in rows.values():
        assert int(row["prompt"]) + int(row["answer"]) == int(row["used"])
    total = sum(int(row["used"]) for row in rows.values())
    assert re.search(rf"^together +{total} of 2,000$", plain.out, re.MULTILINE)


def test_it_is_quick(plain: Shown) -> None:
    # 15 s are the goal on an idle machine; the tests share theirs with others.
    assert plain.took_s < 30


def test_nothing_is_left_running(plain: Shown) -> None:
    assert len(plain.family) >= 12  # supervisor, Valkey, five workers with a child each
    _, alive = psutil.wait_procs(plain.family, timeout=GONE_S)
    assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []


def test_as_json_it_is_one_object(tmp_path: Path) -> None:
    # Whatever is set for a stack of one's own does not get in the way.
    done = show(tmp_path, "--json", REDIS_URL="redis://127.0.0.1:1/0", APEX_LLM_INSTANCES="2")
    found = json.loads(done.out)
    assert (done.code, done.err, found["ok"]) == (0, "", True)
    assert [one["agent"] for one in found["agents"]] == list(ROLES)
    assert [check["name"] for check in found["checks"] if check["ok"]] == [
        *("answers", "instances", "isolation", "budget")
    ]
    assert found["budget"]["held"] == 0
    assert found["together_s"] < found["alone_s"]


def test_a_gguf_file_is_all_it_needs_to_run_on_a_real_model(tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp")
    model = tiny_gguf.write(tmp_path / "tiny.gguf")
    done = show(tmp_path, APEX_GGUF_MODEL_PATH=str(model))
    assert (done.code, done.err) == (0, ""), done.out
    assert "the backend is llama_cpp." in done.out
    assert "Every check held." in done.out
    assert {row["answer"] for row in ROW.finditer(done.out)} == {"48"}


def test_a_check_that_does_not_hold_is_one_line_and_code_1(tmp_path: Path) -> None:
    budgets = json.dumps({"agent": {"Coder": {"tokens": 10}}})
    done = show(tmp_path, APEX_BUDGETS=budgets)
    assert done.code == 1
    lines = done.err.splitlines()
    assert len(lines) == 2  # alone and together
    said = "apexq: answers: Coder got no answer: agent:Coder has used 0 and holds 0 of 10 tokens; "
    assert all(line.startswith(said) for line in lines)
    assert "Every check held" not in done.out


@pytest.mark.parametrize("columns", [80])
def test_in_a_terminal_the_agents_are_side_by_side(columns: int, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    with subprocess.Popen(
        [APEXQ, "demo"],
        cwd=tmp_path,
        env={**env, "TERM": "xterm-256color"},
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(theirs)
        said = drain(ours)
        _, err = process.communicate(timeout=DONE_S)
    assert (process.returncode, err) == (0, b"")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said)
    titles = next(line for line in text.splitlines() if "Planner" in line and "╭" in line)
    assert [name for name in ROLES if name in titles] == list(ROLES)
    assert max(len(line) for line in text.replace("\r", "\n").split("\n")) <= columns
    assert text.count("✓") >= 4
    assert "Every check held." in text


def drain(terminal: int) -> str:
    """All that is written to a terminal until nobody has it open any more."""
    said = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # Linux: the other side is closed
            part = b""
        if not part:
            os.close(terminal)
            return said.decode()
        said += part
