"""``celery -A workers …``, run as a user runs it."""

from __future__ import annotations

import subprocess
import sys

from tests.support.workers import ROOT, environment


def celery(
    url: str, *arguments: str, env: dict[str, str] | None = None, timeout_s: float = 40
) -> subprocess.CompletedProcess[str]:
    """Runs a command of the app to its end; stdout and stderr apart."""
    return subprocess.run(
        [sys.executable, "-m", "celery", "-A", "workers", *arguments],
        cwd=ROOT,
        env=environment(url, env),
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
