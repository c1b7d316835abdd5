"""A short `make torture`: everything is killed, stopped and cut off, and nothing is lost."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.workers import ROOT

MOST_S = 280


@pytest.mark.timeout(MOST_S + 20)
def test_nothing_is_lost_doubled_or_overspent_while_everything_is_killed() -> None:
    size = ("--jobs", "900", "--faults", "60", "--seconds", "100", "--seed", "1")
    done = subprocess.run(
        [sys.executable, "-m", "tests.torture", *size],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=MOST_S,
    )

    assert done.returncode == 0, done.stdout
    assert "ok     every job ended once" in done.stdout
    assert "FAILED" not in done.stdout
