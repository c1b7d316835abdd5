"""ARCHITECTURE.md's table names the modules that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
LAYERS = ("ledger", "routing", "budgets", "workers", "producer")


@pytest.mark.parametrize("layer", LAYERS)
def test_every_module_of_a_layer_is_in_its_row(layer: str) -> None:
    [row] = re.findall(rf"^\| `{layer}` \| (.*) \|$", PAGE, re.MULTILINE)
    named = [name.strip("/") for name in re.findall(r"`([a-z_]+/?)`", row)]
    modules = {path.stem for path in (ROOT / layer).glob("[!_]*.py")}
    folders = {path.name for path in (ROOT / layer).glob("[!_]*/")}
    assert sorted(named) == sorted(modules | folders)
