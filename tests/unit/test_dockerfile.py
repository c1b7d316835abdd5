"""The image: what its Dockerfile names is there. No test builds it."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "docker/Dockerfile").read_text().splitlines()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def copied() -> set[str]:
    """What it takes out of the repository."""
    lines = [shlex.split(line) for line in LINES if line.startswith("COPY")]
    return {name for _, *sources, _ in lines for name in sources}


def test_it_copies_what_there_is_and_every_package() -> None:
    packages = {
        name.rstrip("*") for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    }

    assert all((ROOT / name).exists() for name in copied())
    assert packages | {PROJECT["project"]["readme"], "pyproject.toml"} <= copied()


def test_it_installs_by_a_lock_that_it_copies() -> None:
    [lock] = re.findall(r"--constraint (\S+)", "\n".join(LINES))

    assert lock in copied()


def test_it_brings_the_backends_that_ask_a_server() -> None:
    [extras] = re.findall(r"^ARG EXTRAS=(\S+)$", "\n".join(LINES), re.MULTILINE)

    assert extras.split(",") == ["openai", "ollama", "anthropic"]
    assert {*extras.split(","), "cli", "flower"} <= PROJECT["project"][
        "optional-dependencies"
    ].keys()
