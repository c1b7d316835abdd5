"""Kinds of models that keep a context in ways of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from ledger.errors import BackendError
from tests.contract.local.conftest import Start
from tests.support import tiny_safetensors
from tests.support.loaded import text_of
from tests.support.local_models import Library, answer, asked, cuts
from tests.support.sentences import is_one_sentence
from workers.backends import Run

SMALL = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 310,  # some more than the tokenizer has, as models do
    "eos_token_id": tiny_safetensors.EOS,
}
LINEAR = {
    f"linear_{name}": size
    for name, size in {
        "num_key_heads": 2,
        "num_value_heads": 2,
        "key_head_dim": 16,
        "value_head_dim": 16,
    }.items()
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64}


def of_kind(folder: Path, kind: str, **shape: Any) -> Path:
    """The tiny model's tokenizer with random weights of another kind of model."""
    tiny_safetensors.write(folder)
    (folder / "model.safetensors").unlink()
    torch.manual_seed(1)
    own = AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](**{**SMALL, **shape}))
    own.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("kind", "shape", "keeps"),
    [
        ("qwen3", {}, True),
        ("mixtral", {"num_local_experts": 4}, True),
        # Windows that are full and recurrent layers cannot step back; they are read anew.
        ("mistral", {"sliding_window": 16}, False),
        ("qwen3_next", {**LINEAR, **EXPERTS, "shared_expert_intermediate_size": 64,
          "layer_types": ["linear_attention", "full_attention"]}, False),
    ],
)  # fmt: skip
def test_other_kinds_of_models_go_on_and_keep_sessions_too(
    start: Start, tmp_path: Path, kind: str, shape: dict[str, Any], *, keeps: bool
) -> None:
    folder = of_kind(tmp_path / kind, kind, **shape)
    backend, another = start(folder), start(folder)
    bias = dict.fromkeys(map(str, range(tiny_safetensors.FIRST_BYTE)), -100.0)  # no control tokens
    request = asked("tell a story of it", max_tokens=30, logit_bias=bias)
    whole = answer(backend, request)
    turn = request.model_copy(update={"session_id": "s1"})

    for before, made in cuts(whole):
        assert before + text_of(answer(another, request, before, made)) == text_of(whole)
    answer(backend, turn)
    assert text_of(answer(backend, turn)) == text_of(whole)
    assert (backend.counters.read == 1) == keeps
    answer(backend, asked("x", session_id="s2"))
    assert text_of(answer(backend, turn)) == text_of(whole)


def test_a_model_that_cannot_step_back_hears_a_stop_before_it_reads_anew(
    start: Start, tmp_path: Path
) -> None:
    backend = start(of_kind(tmp_path / "mistral", "mistral", sliding_window=16))
    turn = asked("tell a story of it", max_tokens=30, session_id="s1")
    answer(backend, turn)
    stopped = Run(turn, turn.max_tokens)
    stopped.stop.set()

    assert list(backend.stream(stopped)) == []

    answer(backend, turn)
    assert backend.counters.read == backend.count_tokens(turn)  # the stopped one had read nothing


def test_a_model_whose_state_cannot_be_kept_is_refused(library: Library, tmp_path: Path) -> None:
    shape = {"num_heads": 4, "head_dim": 32, "state_size": 16, "n_groups": 1, "expand": 2}
    folder = of_kind(tmp_path / "mamba", "mamba2", **shape)

    with pytest.raises(BackendError, match="'mamba2' have no KV cache") as caught:
        library.created(folder).load()
    assert is_one_sentence(caught.value)
