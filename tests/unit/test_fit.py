"""What instances take of memory, and docs/fit.md, whose numbers are computed here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from budgets import gguf, hf_config, machine
from budgets.fit import (
    CUDA_CONTEXT_BYTES,
    PROCESS_BYTES,
    TORCH_PROCESS_BYTES,
    Fit,
    Group,
    Model,
    compute_bytes,
    need_of,
)
from budgets.hf_config import NF4_BITS, Config
from ledger.errors import DoesNotFit, InvalidSetting
from ledger.settings import Settings, load_settings
from producer.fit import fits_of
from tests.support import gguf_header
from tests.support.sentences import is_one_sentence

PAGE = (Path(__file__).parents[2] / "docs" / "fit.md").read_text("utf-8")

LLAMA = Config(
    layers=32,
    heads=32,
    kv_heads=8,
    head_width=128,
    embedding=4096,
    feed_forward=14_336,
    vocabulary=128_256,
)
Q4_K_M_BYTES = 4_920_000_000  # of the file
GIB = 1 << 30
MAC_BYTES = int(64 * GIB * machine.MAC_GPU_SHARE)
H100_BYTES = 81_559 << 20  # what nvidia-smi says of one
CONTEXTS = (4_096, 8_192, 32_768, 131_072)
INSTANCES = 5


# --- the arithmetic


def test_a_token_of_context_takes_a_key_and_a_value_for_each_layer_and_kv_head() -> None:
    assert LLAMA.kv_bytes_per_token() == 2 * 32 * 8 * 128 * 2 == 131_072


def test_weights_are_counted_from_the_shape() -> None:
    parameters = LLAMA.linear_parameters + LLAMA.embedding_parameters
    assert parameters == pytest.approx(8.03e9, rel=0.001)
    assert LLAMA.weight_bytes() == 2 * parameters
    assert LLAMA.weight_bytes(NF4_BITS) == pytest.approx(5.70e9, rel=0.001)


def test_buffers_are_those_that_llama_cpp_prints_for_this_model() -> None:
    model = LLAMA.model(Q4_K_M_BYTES)
    assert compute_bytes(model, 8_192) / 2**20 == pytest.approx(560, rel=0.01)
    assert compute_bytes(model, 4_096) / 2**20 == pytest.approx(296, rel=0.01)
    assert compute_bytes(model, 4_096, flash_attention=True) / 2**20 == pytest.approx(
        258.5, rel=0.01
    )


def test_an_instance_takes_weights_context_buffers_and_its_process() -> None:
    model = Model(weight_bytes=1000, kv_bytes_per_token=10)
    assert need_of(model, 100).total == 1000 + 10 * 100 + 512 * 0 + PROCESS_BYTES + 4 * 100 * 100
    on_gpu = need_of(model, 100, on_cuda=True, flash_attention=True)
    assert on_gpu.overhead == CUDA_CONTEXT_BYTES + 2 * 100 * 100


def test_instances_that_do_not_fit_are_refused_with_the_arithmetic() -> None:
    need = need_of(LLAMA.model(Q4_K_M_BYTES), 8_192)
    fit = Fit("RAM", 15_200_000_000, [Group(5, "an 8B model", need)])
    with pytest.raises(DoesNotFit) as caught:
        fit.require()
    assert is_one_sentence(caught.value)
    assert "5 instances need 33.4 GB and 15.2 GB of RAM are left" in str(caught.value)
    assert "\n".join(fit.lines()) == "\n".join(caught.value.arithmetic)
    assert caught.value.arithmetic == [
        "5 × an 8B model in RAM",
        "  weights                            4.92 GB",
        "  KV cache of 8,192 tokens           1.07 GB",
        "  buffers and the process            0.69 GB",
        "  one instance                       6.68 GB",
        "all in RAM                          33.40 GB",
        "available                           15.20 GB   too little",
    ]


def test_what_is_not_known_refuses_nothing() -> None:
    need = need_of(LLAMA.model(Q4_K_M_BYTES), 8_192)
    unknown = Fit("VRAM", 1000, [Group(5, "some model", None, "it is not here yet")])
    assert unknown.fits
    assert not unknown.known
    assert unknown.lines()[1] == "  not known: it is not here yet"
    no_memory = Fit("VRAM", None, [Group(5, "an 8B model", need)])
    assert no_memory.fits
    assert not no_memory.known


# --- where the facts come from


def test_a_gguf_header_says_what_memory_depends_on(tmp_path: Path) -> None:
    path = gguf_header.write(tmp_path / "x.gguf", size=5_000_000)
    assert gguf.read(path).model(5_000_000) == LLAMA.model(5_000_000)


LLAMA_FIELDS = {
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "vocab_size": 128_256,
    "max_position_embeddings": 2048,
}


def test_a_local_folder_of_a_model_says_it_too(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"text_config": LLAMA_FIELDS}))
    assert hf_config.read(tmp_path) is None  # no weights yet
    for number in (1, 2):
        (tmp_path / f"model-{number}.safetensors").write_bytes(b"x" * 1000)
    assert hf_config.read(tmp_path) == LLAMA.model(2000)


@pytest.mark.parametrize("config", ["", "[]", "{}", '{"num_attention_heads": 0}', "\x00"])
def test_a_config_that_cannot_be_read_is_not_known(tmp_path: Path, config: str) -> None:
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "model.safetensors").write_bytes(b"x")
    assert hf_config.read(tmp_path) is None


def llama_settings(path: Path | str, **more: object) -> Settings:
    return load_settings(env={}, backend="llama_cpp", model=str(path), instances=5, **more)


def test_like_instances_are_counted_together(tmp_path: Path) -> None:
    path = gguf_header.write(tmp_path / "x.gguf", size=10_000_000_000)
    (fit,) = fits_of(llama_settings(path, ctx_tokens=8_192))
    (group,) = fit.groups
    assert (group.count, group.label, fit.place) == (5, "x.gguf", "RAM")
    assert group.need == need_of(LLAMA.model(10_000_000_000), 8_192)
    assert fit.available is not None


def test_instances_that_are_up_have_their_memory_already(tmp_path: Path) -> None:
    path = gguf_header.write(tmp_path / "x.gguf", size=1 << 43)
    settings = llama_settings(path)
    (fit,) = fits_of(settings, up=["inst0", "inst3"])
    assert fit.groups[0].count == 3
    assert fits_of(settings, up=[f"inst{number}" for number in range(5)]) == []


def test_a_context_is_never_longer_than_the_models(tmp_path: Path) -> None:
    path = gguf_header.write(tmp_path / "x.gguf", size=1)
    (fit,) = fits_of(llama_settings(path, ctx_tokens=1_000_000))
    assert fit.groups[0].need is not None
    assert fit.groups[0].need.ctx_tokens == 131_072


def test_nor_is_that_of_a_model_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_FIELDS))
    (tmp_path / "model.safetensors").write_bytes(b"x")
    (fit,) = fits_of(load_settings(env={}, backend="hf", model=str(tmp_path), ctx_tokens=10**6))
    assert [group.need and group.need.ctx_tokens for group in fit.groups] == [2048]


def test_a_model_that_is_not_here_yet_is_not_known() -> None:
    for model in ("hf:org/there-is-none:x.gguf", "/there/is/none.gguf"):
        (fit,) = fits_of(llama_settings(model))
        assert fit.groups[0].need is None
        assert fit.fits


def test_a_model_of_another_library_is_known_from_its_folder(tmp_path: Path) -> None:
    (unknown,) = fits_of(load_settings(env={}, backend="hf", model="org/name", instances=2))
    assert unknown.groups[0].why == "the model is no local folder with config.json and weights"


def test_weights_that_hf_quantises_count_as_what_they_will_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a model with weights of 16 bits, and a GPU
    (tmp_path / "config.json").write_text(json.dumps({**LLAMA_FIELDS, "torch_dtype": "bfloat16"}))
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(LLAMA.weight_bytes())
    monkeypatch.setattr(machine, "gpu_bytes", lambda: 85_000_000_000)
    table = {"name": "inst0", "backend": "hf", "model": str(tmp_path)}

    def weights(place: str, **options: str) -> float:
        (fit,) = fits_of(load_settings(env={}, instances=[{**table, **options}]))
        assert fit.place == place
        assert fit.groups[0].need is not None
        return fit.groups[0].need.weights / 1e9

    # Then they are NF4 there, and whole on the CPU, unless something else is asked for
    assert weights("VRAM") == pytest.approx(5.7, abs=0.05)
    assert weights("VRAM", quantization="none") == pytest.approx(16.1, abs=0.05)
    assert weights("VRAM", quantization="int8") == pytest.approx(9.1, abs=0.05)
    assert weights("RAM", device="cpu") == pytest.approx(16.1, abs=0.05)
    assert weights("RAM", device="cpu", quantization="nf4") == pytest.approx(5.7, abs=0.05)


def test_a_process_with_torch_takes_more_than_one_without() -> None:
    more = need_of(LLAMA.model(1), 4096, process_bytes=TORCH_PROCESS_BYTES)

    assert more.overhead - need_of(LLAMA.model(1), 4096).overhead == 330_000_000


def test_a_backend_that_forwards_to_a_server_takes_no_memory_here() -> None:
    assert fits_of(load_settings(env={}, backend="mock")) == []


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_text("not a model")
    with pytest.raises(InvalidSetting, match="is not a GGUF file"):
        fits_of(llama_settings(tmp_path / "x.gguf"))


def tool(folder: Path, said: str) -> dict[str, str]:
    """An environment whose ``nvidia-smi`` says ``said``."""
    script = folder / "nvidia-smi"
    script.write_text(f"#!/bin/sh\n{said}\n")
    script.chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def test_the_gpus_free_memory_is_the_drivers(tmp_path: Path) -> None:
    two = tool(tmp_path, "echo '0, 81000'; echo '1, 40000'")
    assert machine.gpu_bytes(two) == 121_000 << 20
    assert machine.gpu_bytes({**two, "CUDA_VISIBLE_DEVICES": "1"}) == 40_000 << 20
    assert machine.gpu_bytes({"PATH": "/nowhere"}) is None
    assert machine.gpu_bytes(tool(tmp_path, "echo no devices were found; exit 9")) is None
    assert machine.gpu_bytes(tool(tmp_path, "echo N/A")) is None


# --- docs/fit.md


def rows(weights: int, available: int, *, name: str, on_cuda: bool) -> list[str]:
    """A line of the page's table for each context."""
    found = []
    for ctx in CONTEXTS:
        need = need_of(LLAMA.model(weights), ctx, on_cuda=on_cuda, flash_attention=True)
        five = INSTANCES * need.total
        fits = "yes" if five <= available else f"no: {available // need.total}"
        found.append(
            f"| {name} | {weights / 1e9:.1f} | {ctx:,} | {need.kv_cache / 1e9:.1f} "
            f"| {need.total / 1e9:.1f} | {five / 1e9:.1f} | {fits} |"
        )
    return found


@pytest.mark.parametrize(
    ("heading", "available", "on_cuda", "weights"),
    [
        ("## Five on a 64 GB Mac", MAC_BYTES, False, {"Q4_K_M": None, "fp16": 16}),
        (
            "## Five on an 80 GB H100",
            H100_BYTES,
            True,
            {"Q4_K_M": None, "NF4": NF4_BITS, "fp16": 16},
        ),
    ],
)
def test_the_pages_tables_are_computed(
    heading: str, available: int, on_cuda: bool, weights: dict[str, float | None]
) -> None:
    section = PAGE.partition(f"{heading}\n")[2].partition("\n## ")[0]
    assert f"{available / 1e9:.1f} GB" in section
    expected = [
        row
        for name, bits in weights.items()
        for row in rows(
            Q4_K_M_BYTES if bits is None else LLAMA.weight_bytes(bits),
            available,
            name=name,
            on_cuda=on_cuda,
        )
    ]
    assert [
        line for line in section.splitlines() if line.startswith("| ") and line[2] in "QNf"
    ] == expected


def test_the_page_says_what_is_wrong_with_40_mb() -> None:
    assert INSTANCES * 4_096 * 2 == 40_960  # the seed's product: 41 kB
    assert "40,960 bytes" in PAGE
    context = INSTANCES * 4_096 * LLAMA.kv_bytes_per_token()
    assert f"{context / 1e9:.1f} GB" == "2.7 GB"
    assert "2.7 GB" in PAGE
