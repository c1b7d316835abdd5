"""`apexq ask` where a model thinks before it answers, and calls tools."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("openai")

from producer.local import LocalStack
from tests.support import fake_openai
from tests.support.command import apexq
from tests.support.fake_openai import chunk, says, usage

CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
ANSWER = says(
    chunk({"role": "assistant", "reasoning": "They greet"}),
    chunk({"reasoning": " me."}),
    chunk({"content": "Hello"}),
    chunk({"tool_calls": [{"index": 0, **CALL}]}),
    chunk({}, finish="tool_calls"),
    chunk(usage=usage(5, 9)),
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The Redis of one instance, whose model thinks, answers and calls a tool."""
    with fake_openai.serving(ANSWER) as server:
        table = {"name": "inst0", "backend": "openai", "base_url": server.url}
        with LocalStack([table], env={"APEX_CONFIG": ""}) as stack:
            yield stack.redis_url


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory without a stack and without an apexq.toml."""
    monkeypatch.chdir(tmp_path)


def test_the_text_and_then_the_calls_are_on_stdout_and_nothing_on_stderr(url: str) -> None:
    done = apexq("ask", "hello", url=url)
    text, call = done.stdout.splitlines()
    assert (done.returncode, text, done.stderr) == (0, "Hello", "")
    assert json.loads(call) == CALL


def test_what_the_model_thinks_is_on_stderr_where_it_is_wanted(url: str) -> None:
    done = apexq("ask", "hello", "--reasoning", url=url)
    assert (done.returncode, done.stderr) == (0, "They greet me.\n")
    assert done.stdout.startswith("Hello\n{")


def test_the_record_has_all_of_it(url: str) -> None:
    record = json.loads(apexq("ask", "hello", "--json", url=url).stdout)
    assert (record["text"], record["reasoning"]) == ("Hello", "They greet me.")
    extra = {"openai": {"host": "127.0.0.1", "reasoning": "They greet me."}}
    assert record["tool_calls"] == [{**CALL, "extra_content": extra}]
    assert record["finish_reason"] == "tool_calls"
