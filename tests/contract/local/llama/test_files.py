"""Files that llama.cpp cannot load, and where a file comes from: each refusal is one sentence."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("llama_cpp")

from budgets import gguf, machine
from ledger.errors import ApexError, BackendError, InvalidSetting
from ledger.settings import load_settings
from tests.contract.local.conftest import Refusal
from tests.support import tiny_gguf
from tests.support.local_models import Library
from tests.support.sentences import is_one_sentence
from workers.backends import create
from workers.backends.llama import source as llama_source
from workers.backends.local import memory


@pytest.fixture
def model(library: Library, tmp_path: Path) -> Path:
    """One of the test's own, since it is damaged."""
    return library.write(tmp_path)


def changed(path: Path, at: int, to: bytes) -> Path:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(to)
    return path


Damage = Callable[[Path], object]


def cut_to(share: float) -> Damage:
    def cut(path: Path) -> None:
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])

    return cut


@pytest.mark.parametrize(
    ("damage", "kind", "said"),
    [
        (lambda path: path.unlink(), InvalidSetting, "There is no file"),
        (lambda path: (path.unlink(), path.mkdir()), InvalidSetting, "is a folder"),
        (lambda path: path.write_bytes(b""), InvalidSetting, "is not a GGUF file"),
        (lambda path: path.write_text("{}" * 999), InvalidSetting, "is not a GGUF file"),
        (lambda path: changed(path, 4, struct.pack("<I", 4)), InvalidSetting, "of version 4"),
        (lambda path: changed(path, 4, struct.pack(">I", 3)), InvalidSetting, "of version"),
        (lambda path: changed(path, 16, b"\xff" * 8), InvalidSetting, "cut off or damaged"),
        (cut_to(0.00004), InvalidSetting, "cut off or damaged"),
        (cut_to(0.01), InvalidSetting, "cut off or damaged"),
        (cut_to(0.5), BackendError, "file bounds"),
        (cut_to(0.999), BackendError, "file bounds"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_a_sentence(
    model: Path,
    damage: Damage,
    kind: type[ApexError],
    said: str,
    refusal: Refusal,
) -> None:
    damage(model)

    assert said in refusal(model, kind)


def test_a_kind_of_model_that_llama_cpp_does_not_know_is_refused(
    tmp_path: Path, refusal: Refusal
) -> None:
    strange = tiny_gguf.write(tmp_path / "strange.gguf", arch="zebra")

    assert "unknown model architecture: 'zebra'" in refusal(strange, BackendError)


def test_a_model_that_is_too_large_for_memory_is_refused_with_the_arithmetic(
    model: Path, refusal: Refusal
) -> None:
    with model.open("r+b") as file:
        file.truncate(1 << 43)  # a hole: it takes no room on the disk

    said = refusal(model, InvalidSetting)

    assert "needs 8796.1 GB (weights 8796.1 + 4096 tokens of context 0.0)" in said


def test_the_context_counts_against_memory(model: Path) -> None:
    header = gguf.read(model)
    per_token = 2 * tiny_gguf.LAYERS * tiny_gguf.KV_HEADS * tiny_gguf.HEAD * 2  # K and V, 2 bytes
    need = 1000 + 512 * per_token

    assert header.kv_bytes_per_token() == per_token
    facts = {"weight_bytes": 1000, "kv_bytes_per_token": per_token, "ctx_tokens": 512}
    memory.refuse_if_too_large("model", **facts, available=need)
    memory.refuse_if_too_large("model", **facts, available=None)
    with pytest.raises(InvalidSetting, match="are left"):
        memory.refuse_if_too_large("model", **facts, available=need - 1)


def test_available_memory_is_known_here() -> None:
    assert (machine.available_bytes() or 0) > 10_000_000


@pytest.mark.parametrize("name", [None, "Qwen/Qwen3-8B"])
def test_a_worker_without_a_file_is_told_what_to_set(name: str | None) -> None:
    table = {"name": "inst0", "backend": "llama_cpp", "model": name}
    settings = load_settings(env={}, instances=[table])

    with pytest.raises(InvalidSetting, match="set APEX_GGUF_MODEL_PATH") as caught:
        create(settings.instances[0], settings)
    assert is_one_sentence(caught.value)


def test_the_instances_own_file_comes_before_the_settings(model: Path) -> None:
    tables = [
        {"name": "inst0", "backend": "llama_cpp", "model": str(model)},
        {"name": "inst1", "backend": "llama_cpp", "model": "a name only"},
    ]
    settings = load_settings(env={}, instances=tables, gguf_model_path="/other.gguf")

    own, other = settings.instances
    assert llama_source.source_of(own, settings) == str(model)
    assert llama_source.source_of(other, settings) == "/other.gguf"
    on_the_hub = load_settings(env={}, instances=tables, gguf_model_path="hf:org/tiny:tiny.gguf")
    assert llama_source.source_of(other, on_the_hub) == "hf:org/tiny:tiny.gguf"


@pytest.mark.parametrize("source", ["hf:tiny", "hf:a/b", "hf:a/b:model.bin", "hf:a/b/c:x.gguf"])
def test_a_source_on_the_hub_that_cannot_be_read_is_refused(source: str, refusal: Refusal) -> None:
    assert "hf:org/repo:file.gguf" in refusal(source, InvalidSetting)


def test_a_model_in_parts_needs_all_of_them(model: Path, refusal: Refusal) -> None:
    first = model.rename(model.with_name("big-00001-of-00002.gguf"))

    assert "big-00002-of-00002.gguf" in refusal(first, InvalidSetting)
