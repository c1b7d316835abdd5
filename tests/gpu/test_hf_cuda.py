"""transformers on CUDA, weights in NF4 as they are there by default."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

pytest.importorskip("torch")
pytest.importorskip("bitsandbytes")

import torch

from ledger.errors import InvalidSetting
from producer import LLMClient
from tests.conftest import ON_ONE_SERVER, StartWorkers
from tests.support import tiny_safetensors
from tests.support.loaded import text_of
from tests.support.local_models import answer, asked, cuts, hf
from workers.backends import Run
from workers.backends.hf.backend import HfBackend


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_safetensors.write(tmp_path_factory.mktemp("hf") / "tiny")


@pytest.fixture
def backend(model: Path) -> Iterator[HfBackend]:
    """As a worker without any options has it."""
    backend = on_gpu(model)
    yield backend
    backend.close()


def on_gpu(model: Path, **options: object) -> HfBackend:
    backend = hf().created(model, device=None, quantization=None, **options)
    backend.load()
    return backend


def test_weights_are_in_nf4_and_on_the_gpu(backend: HfBackend) -> None:
    from bitsandbytes.nn import Linear4bit

    model = backend._loaded._engine._model
    packed = [one for one in model.modules() if isinstance(one, Linear4bit)]

    assert len(packed) == 7 * tiny_safetensors.LAYERS
    assert {one.weight.quant_state.quant_type for one in packed} == {"nf4"}
    assert {one.compute_dtype for one in packed} == {torch.bfloat16}
    assert {one.device for one in model.parameters()} == {torch.device("cuda", 0)}


def test_another_process_continues_greedy_text(backend: HfBackend, model: Path) -> None:
    request = asked(max_tokens=60)
    whole = answer(backend, request)
    another = on_gpu(model)

    for before, made in cuts(whole, 20):
        assert before + text_of(answer(another, request, before, made)) == text_of(whole)
    another.close()


def test_a_seeds_draws_repeat(backend: HfBackend) -> None:
    request = asked(temperature=0.9, top_p=0.95, top_k=50, seed=11)

    assert text_of(answer(backend, request)) == text_of(answer(backend, request))


def test_contexts_that_are_kept_leave_the_gpus_memory(backend: HfBackend) -> None:
    # Given the current session's context
    story = "once upon a time there was a king. " * 40
    turn = asked(story, session_id="s1", max_tokens=2)
    expected = text_of(answer(backend, turn))
    answer(backend, asked("a", session_id="s2", max_tokens=1))
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    # When another of its length becomes current, and the first one again
    answer(backend, asked(story, session_id="s3", max_tokens=2))
    answer(backend, asked("b", session_id="s4", max_tokens=1))
    # Then
    torch.cuda.synchronize()
    assert torch.cuda.memory_allocated() <= before + 100_000
    assert text_of(answer(backend, turn)) == expected
    assert backend.counters.read == 1


def test_a_stop_is_heard_between_two_tokens(backend: HfBackend) -> None:
    run = Run(asked(max_tokens=2000), 2000)
    pieces = backend.stream(run)
    list(itertools.islice(pieces, 3))

    run.stop.set()

    assert list(pieces) == []


def test_a_model_that_is_too_large_for_the_gpu_is_refused(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (1_000_000, 80_000_000_000))

    with pytest.raises(InvalidSetting, match="of memory are left"):
        on_gpu(model)


@ON_ONE_SERVER
def test_a_worker_touches_the_gpu_in_its_child_only(
    client: LLMClient, start_workers: StartWorkers, model: Path
) -> None:
    table = {"name": "inst0", "backend": "hf_cuda", "model": str(model)}
    (worker,) = start_workers("inst0", env={"APEX_LLM_INSTANCES": json.dumps([table])})
    parent = psutil.Process(worker.process.pid)

    result = client.complete("hello", agent_id="a", temperature=0, max_tokens=20)

    assert result.usage.completion_tokens == 20
    assert not any("libcuda" in one.path for one in parent.memory_maps())
