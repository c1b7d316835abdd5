"""What `import producer` offers, and that it costs what is used of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

import producer


@pytest.mark.parametrize("name", producer.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(producer, name).__name__ == name or name == "PortableLLMClient"


def test_a_name_that_there_is_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'LLMCleint'"):
        producer.LLMCleint  # noqa: B018


@pytest.mark.parametrize("module", ["producer", "producer.cli.main"])
def test_neither_redis_nor_pydantic_is_imported_before_it_is_needed(module: str) -> None:
    code = (
        f"import sys, {module}; print(sorted({{'redis', 'pydantic', 'celery'}} & set(sys.modules)))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert said.stdout == "[]\n"
