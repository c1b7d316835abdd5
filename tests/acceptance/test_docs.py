"""What the pages show in Python runs as it stands there."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openai")

from producer import DeadlineExceeded, LLMClient
from producer.local import LocalStack
from tests.support import fake_openai
from tests.support.workers import ROOT

SNIPPETS = {
    f"{page.stem}-{number}": code
    for page in sorted((ROOT / "docs").rglob("*.md"))
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
}
BRING_A_REDIS = ("clients-0", "manager-0")  # and workers
MODEL = 'backend="llama_cpp", model="/models/8b.gguf"'
SERVERS = [f"http://localhost:{port}/v1" for port in (1234, 8001, 8002)]


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    """One instance of a mock that is called `small`."""
    with LocalStack([{"name": "inst0", "model": "small"}], env={"APEX_CONFIG": ""}) as stack:
        yield stack


@pytest.fixture(scope="module")
def here() -> Iterator[dict[str, str]]:
    """What there is here in place of a model and of servers at their usual addresses."""
    with ExitStack() as servers:
        answer = fake_openai.answers_with("Hi")
        found = [servers.enter_context(fake_openai.serving(answer)).url for _ in SERVERS]
        yield {MODEL: 'backend="mock"', **dict(zip(SERVERS, found, strict=True))}


def run(code: str, names: dict[str, Any]) -> None:
    """Runs it, with ``await`` as in a notebook."""
    compiled = compile(code, "snippet", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if compiled.co_flags & inspect.CO_COROUTINE:

        async def inside() -> None:
            await eval(compiled, names)

        asyncio.run(inside())
    else:
        exec(compiled, names)


@pytest.mark.parametrize("name", SNIPPETS)
def test_a_snippet_runs(
    name: str,
    stack: LocalStack,
    here: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    if name not in BRING_A_REDIS:
        monkeypatch.setenv("REDIS_URL", stack.redis_url)
    code = SNIPPETS[name]
    for shown, own in here.items():
        code = code.replace(shown, own)
    with LLMClient() as client:
        given = {"client": client, "prompts": ["hello", "hi"], "LLMClient": LLMClient}
        run(code, {**given, "DeadlineExceeded": DeadlineExceeded})
