"""vLLM's engine in the process: what the runner expects of every backend, and what is its own.

It runs in the environment that vLLM is installed in: ``make test-vllm``.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("vllm")

from vllm.exceptions import VLLMValidationError

from ledger.errors import InvalidRequest
from ledger.settings import load_settings
from tests.contract.test_backends import *  # noqa: F403  the tests, on the candidate below
from tests.contract.test_backends import Ask, pieces_of
from tests.support import tiny_safetensors, vllm_server
from tests.support.candidates import Candidate
from tests.support.loaded import text_of, tokens_of
from tests.support.sentences import is_one_sentence
from workers.backends import Backend, Run

pytestmark = [pytest.mark.timeout(1200), pytest.mark.filterwarnings("ignore")]  # vLLM has some


@pytest.fixture(scope="module", autouse=True)
def _environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in vllm_server.for_this_machine().items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def candidate(tmp_path_factory: pytest.TempPathFactory) -> Candidate:
    model = tiny_safetensors.write(tmp_path_factory.mktemp("vllm") / "tiny", ends=True, plain=True)
    named(model / "config.json", eos_token_id=tiny_safetensors.BOS)  # which ends no answer
    named(model / "generation_config.json", eos_token_id=[tiny_safetensors.EOS])
    engine = {"enforce_eager": True, "dtype": "float32"}
    table = {"name": "inst0", "backend": "vllm_engine", "model": str(model), "engine": engine}
    settings = load_settings(env={}, instances=[table])
    return Candidate(
        spec=settings.instances[0],
        settings=settings,
        long=tiny_safetensors.LONG,
        short=tiny_safetensors.SHORT,
    )


def named(path: Path, **fields: object) -> None:
    """Adds fields to a file of JSON."""
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**known, **fields}))


def test_the_token_that_ends_an_answer_is_not_counted(
    backend: Backend, candidate: Candidate, ask: Ask
) -> None:
    pieces = pieces_of(backend, ask(candidate.short, logprobs=1), 20)

    assert pieces[-1].finish_reason == "stop"
    assert tokens_of(pieces) == len(text_of(pieces))  # each of its tokens is a letter
    assert sum(len(one.logprobs) for one in pieces) == len(text_of(pieces))


def test_a_prompt_that_was_read_comes_out_of_the_prefix_cache(backend: Backend, ask: Ask) -> None:
    story = "a long story " * 60
    first = pieces_of(backend, ask(story), 5)

    again = pieces_of(backend, ask(story), 5)
    other = list(backend.stream(Run(ask(story, tenant="acme"), 5)))
    backend.forget("default")
    forgotten = pieces_of(backend, ask(story), 5)

    assert text_of(again) == text_of(first)
    assert again[0].cached_tokens > 0 == sum(piece.cached_tokens for piece in again[1:])
    assert [one[0].cached_tokens for one in (first, other, forgotten)] == [0, 0, 0]


def test_a_schema_that_cannot_be_used_is_refused_in_a_sentence(backend: Backend, ask: Ask) -> None:
    schema = {"type": "json_schema", "json_schema": {"schema": {"$ref": "#/nowhere"}}}

    with pytest.raises(InvalidRequest) as caught:
        pieces_of(backend, ask("hello", response_format=schema), 5)

    assert is_one_sentence(caught.value)
    assert pieces_of(backend, ask("hello"), 5)


def test_an_engine_that_fails_takes_its_process_with_it(
    backend: Backend, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an engine that fails, and a process that would end
    ended: list[int] = []

    def fail() -> None:
        raise RuntimeError("the GPU is gone")

    def end(_: int, signal_number: int) -> None:
        ended.append(signal_number)
        raise SystemExit

    monkeypatch.setattr(backend._model._engine, "step", fail)  # type: ignore[attr-defined]
    monkeypatch.setattr("os.kill", end)
    # When
    with pytest.raises(SystemExit):
        pieces_of(backend, ask("hello"), 5)
    # Then
    assert ended == [signal.SIGKILL]


def test_an_error_of_the_request_itself_is_only_its_own(
    backend: Backend, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:

        def fail() -> None:
            raise VLLMValidationError("this cannot be asked")

        patch.setattr(backend._model._engine, "step", fail)  # type: ignore[attr-defined]
        with pytest.raises(InvalidRequest, match="this cannot be asked"):
            pieces_of(backend, ask("hello"), 5)

    assert text_of(pieces_of(backend, ask("hello"), 5))
