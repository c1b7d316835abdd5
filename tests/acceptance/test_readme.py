"""What README.md tells people to type works as it stands there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import StartWorkers
from tests.support.workers import ROOT, environment

README = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SHELL = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)


def run_python(code: str, url: str | None, folder: Path) -> str:
    script = folder / "snippet.py"
    script.write_text(code)
    env = environment(url) if url else environment("")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=folder,
        env={**env, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_ten_lines_stream_an_answer_and_meet_a_budget(
    redis_url: str, start_workers: StartWorkers, tmp_path: Path
) -> None:
    start_workers("inst0")

    printed = run_python(PYTHON[0], redis_url, tmp_path)

    assert "Hi there" in printed
    assert "completion_tokens=" in printed
    assert "episode:night-1 2000 4" in printed


def test_the_local_stack_snippet_needs_nothing_else(tmp_path: Path) -> None:
    assert "Hi there" in run_python(PYTHON[1], None, tmp_path)


@pytest.mark.parametrize(
    "line", [line for block in SHELL for line in block.splitlines() if line.startswith("make ")]
)
def test_every_make_target_it_names_exists(line: str) -> None:
    target = shlex.split(line, comments=True)[1]
    subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_it_leads_to_every_page() -> None:
    pages = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
    assert pages <= set(re.findall(r"\]\(([^)#:]+)\)", README))
