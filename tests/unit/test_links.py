"""Every link between the pages leads to a page, and to a heading that it has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docker/*.md"), *(ROOT / "docs").rglob("*.md")])


def anchors(page: Path) -> set[str]:
    """Its headings as GitHub names them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {each.replace(" ", "-") for each in words}


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_its_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^):]+)\)", page.read_text("utf-8")):
        path, _, heading = link.partition("#")
        there = page.parent / path if path else page

        assert there.exists(), link
        assert not heading or heading in anchors(there), link


def test_the_page_of_backends_leads_to_each_of_them() -> None:
    page = (ROOT / "docs" / "backends.md").read_text("utf-8")
    families = {f"backends/{each.name}" for each in (ROOT / "docs" / "backends").glob("*.md")}
    assert families <= set(re.findall(r"\]\(([^)#:]+)", page))
