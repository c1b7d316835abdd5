"""The map of the seeds names only places and tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "seeds.md").read_text("utf-8")
FOLDERS = tuple(f"{path.name}/" for path in ROOT.iterdir() if path.is_dir())
SUFFIXES = (".py", ".lua", ".md")

# Item -> what its columns "Where" and "Test" have in backquotes.
NAMED = {
    item: re.findall(r"`([^`]+)`", f"{where} {test}")
    for item, where, test in re.findall(
        r"^\| (\d+\.\d+) .*? \| (.*?) \| (.*?) \| ?.*?\|$", PAGE, re.MULTILINE
    )
}


def test_every_item_has_a_row() -> None:
    assert len(NAMED) == len(re.findall(r"^\| \d", PAGE, re.MULTILINE)) == 504


def test_every_place_it_names_exists() -> None:
    paths = {
        (item, name.partition("::")[0])
        for item, names in NAMED.items()
        for name in names
        if " " not in name and (name.startswith(FOLDERS) or name.endswith(SUFFIXES))
    }
    assert len(paths) > 200
    assert sorted((item, path) for item, path in paths if not (ROOT / path).exists()) == []


def test_every_test_it_names_exists() -> None:
    tests = {
        (item, *name.split("::")) for item, names in NAMED.items() for name in names if "::" in name
    }
    assert len(tests) > 200
    missing = [
        (item, file, test)
        for item, file, test in sorted(tests)
        if not re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text("utf-8"), re.MULTILINE)
    ]
    assert missing == []
