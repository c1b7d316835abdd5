"""What was not tested because a backend's library is not installed, by the name of its extra."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

EXTRAS = {  # what a test imports or skips -> the extra that brings it
    "llama_cpp": "llama",
    "torch": "hf",
    "transformers": "hf",
    "bitsandbytes": "hf",
    "peft": "hf",
    "mlx": "mlx",
    "mlx_lm": "mlx",
    "openai": "openai",
    "ollama": "ollama",
    "anthropic": "anthropic",
}
_MISSING = re.compile(r"could not import '(\w+)[\w.]*'")  # as pytest.importorskip says it


def missing_extras(reports: Iterable[Any]) -> list[str]:
    """One line for each extra that tests were skipped for.

    Args:
        reports: pytest's reports of what was skipped: tests, and whole files.
    """
    tests: dict[str, set[str]] = defaultdict(set)
    files: dict[str, set[str]] = defaultdict(set)
    for report in reports:
        found = _MISSING.search(_reason(report))
        if found and found[1] in EXTRAS:
            whole = getattr(report, "when", "collect") == "collect"
            (files if whole else tests)[EXTRAS[found[1]]].add(report.nodeid)
    return [
        f"Skipped for want of an extra: {extra} (pip install 'apexq[{extra}]'): "
        + ", ".join([*_count(tests[extra]), *(f"all of {one}" for one in sorted(files[extra]))])
        for extra in sorted(tests.keys() | files.keys())
    ]


def _reason(report: Any) -> str:
    """Why a test was skipped."""
    where = getattr(report, "longrepr", None)
    return str(where[2]) if isinstance(where, tuple) else ""


def _count(tests: set[str]) -> list[str]:
    return [f"{len(tests)} test{'s' if len(tests) > 1 else ''}"] if tests else []
