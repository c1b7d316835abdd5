"""Tests that need a GPU for CUDA: ``make test-gpu``. Elsewhere they are skipped by name."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests of this folder, and skips them where there is no such GPU."""
    why = _missing()
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("gpu")
            if why:
                item.add_marker(pytest.mark.skip(reason=why))


def _missing() -> str:
    try:
        import torch
    except ModuleNotFoundError:
        return "torch is not installed (pip install 'apexq[hf]')"
    return (
        "" if torch.cuda.is_available() else "there is no GPU for CUDA, or torch is built without"
    )
