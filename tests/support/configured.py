"""Settings from an environment, a file and arguments, and what is said of bad ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ledger.errors import InvalidSetting
from ledger.settings import Settings, load_settings

NO_FILE = {"APEX_CONFIG": ""}


def load(env: dict[str, str] | None = None, **overrides: Any) -> Settings:
    """The settings of an environment and arguments, without a file."""
    return load_settings(env=NO_FILE | (env or {}), **overrides)


def complaint(env: dict[str, str] | None = None, **overrides: Any) -> str:
    """What is said of settings that cannot be used, which is one sentence."""
    with pytest.raises(InvalidSetting) as caught:
        load_settings(env=NO_FILE | (env or {}), **overrides)
    said = str(caught.value)
    assert said.endswith((".", "?"))
    assert "\n" not in said
    return said


def in_file(tmp_path: Path, text: str) -> dict[str, str]:
    """The environment that names a file with this text."""
    path = tmp_path / "apexq.toml"
    path.write_text(text, "utf-8")
    return {"APEX_CONFIG": str(path)}
