"""The command ``apexq`` as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

APEXQ = str(Path(sys.executable).with_name("apexq"))
DONE_S = 60


def environment(url: str | None = None, **more: str) -> dict[str, str]:
    return {**os.environ, **({"REDIS_URL": url} if url else {}), **more}


def apexq(
    *args: str, url: str | None = None, stdin: str | bytes = "", **env: str
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [APEXQ, *args],
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        env=environment(url, **env),
        capture_output=True,
        timeout=DONE_S,
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    return subprocess.CompletedProcess(args, done.returncode, out, err)


@contextmanager
def started(*args: str, url: str | None = None, **env: str) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on; killed after the block if it still does."""
    with subprocess.Popen(
        [APEXQ, *args],
        env=environment(url, **env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read(process: subprocess.Popen[str], wanted: str) -> str:
    """What it prints, up to and with ``wanted``."""
    assert process.stdout is not None
    said = ""
    while wanted not in said:
        letter = process.stdout.read(1)
        assert letter, f"it ended after {said!r}"
        said += letter
    return said


def assert_one_line(said: str, sentence: str) -> None:
    assert said.startswith("apexq: ")
    assert said.count("\n") == 1
    assert sentence in said
