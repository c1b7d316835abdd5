"""docs/backends.md says what each backend has."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import pytest

from workers.backends.anthropic import backend as anthropic
from workers.backends.base import OPTIONS
from workers.backends.hf.backend import HfBackend
from workers.backends.llama.backend import LlamaCppBackend
from workers.backends.mlx.backend import MlxBackend
from workers.backends.ollama import backend as ollama
from workers.backends.openai.dialect import OPENAI, OTHER
from workers.backends.vllm_engine.backend import VllmEngineBackend

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "backends.md").read_text("utf-8")
INSTALLS = re.findall(
    r"^\| \[`(\w+)`\]\((backends/\w+\.md).*?\).*? \| (`pip install .*?`) \|", PAGE, re.MULTILINE
)
OF_ALL = {"temperature", "top_p", "top_k", "stop"}
TAKEN: dict[str, Collection[str]] = {
    "llama_cpp": LlamaCppBackend.options,
    "hf": HfBackend.options | {"response_format"},  # by llguidance, which its extra brings
    "mlx": MlxBackend.options,
    "vllm_engine": VllmEngineBackend.options,
    "openai": OTHER.options("chat"),
    "ollama": ollama.OPTIONS,
    "anthropic": anthropic.OPTIONS,
}


def cells(line: str) -> list[str]:
    return [cell.strip().strip("`") for cell in line.strip("| \n").split("|")]


def column(backend: str) -> dict[str, str]:
    """What the table says of a backend, by row."""
    rows = re.findall(r"^\| \| `llama_cpp` .*\n\|[-|]*\n((?:\|.*\n)+)", PAGE, re.MULTILINE)[0]
    head = cells(re.findall(r"^\| (\| `llama_cpp` .*)$", PAGE, re.MULTILINE)[0])
    number = head.index(backend)
    return {cells(row)[0]: cells(row)[1 + number] for row in rows.splitlines()}


@pytest.mark.parametrize("backend", TAKEN)
def test_the_table_has_every_option_that_a_backend_takes(backend: str) -> None:
    said = column(backend)
    taken = {name for name in OPTIONS if said.get(name, "yes") != "no"}
    assert taken == set(TAKEN[backend])
    assert set(OPTIONS) - OF_ALL <= set(said)


def test_openai_itself_lacks_what_the_page_says() -> None:
    assert OPENAI.lacks == {"top_k"}
    assert "OpenAI itself has no `top_k`" in PAGE


@pytest.mark.parametrize(("backend", "page", "install"), INSTALLS)
def test_the_page_of_a_backend_says_what_installs_it(backend: str, page: str, install: str) -> None:
    text = (DOCS / page).read_text("utf-8")
    assert backend in text
    assert install in text
