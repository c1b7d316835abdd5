"""The page of faults names only tests that there are, and every kind of fault that is done."""

from __future__ import annotations

import re
from pathlib import Path

from tests.torture.faults import FAULTS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text("utf-8")


def test_every_test_it_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
    missing = [
        (file, test)
        for file, test in named
        if not re.search(rf"^def {test}\(", (ROOT / file).read_text("utf-8"), re.MULTILINE)
    ]
    assert len(named) > 25
    assert missing == []


def test_every_kind_of_fault_has_a_row() -> None:
    last_columns = " ".join(re.findall(r"\| ([^|]*) \|$", PAGE, re.MULTILINE))
    assert [kind for kind in FAULTS if kind not in last_columns] == []
