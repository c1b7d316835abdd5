"""Five instances of an 8B model in NF4 on one card: do they fit, and how fast are they?

The weights are random, in the shape of Llama 3.1 8B. The figures are printed; docs/backends/hf.md
has those of the machine where this ran last.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("bitsandbytes")

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

from producer import LLMClient
from tests.conftest import ON_ONE_SERVER, StartWorkers
from tests.support import tiny_safetensors

INSTANCES = 5
TOKENS = 128
NEEDED_ON_GPU = 40e9
NEEDED_ON_DISK = 20e9
LOAD_S = 300
SHAPE = {
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 128_256,
    "dtype": "bfloat16",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """16 GB of random weights, removed afterwards."""
    folder = tmp_path_factory.mktemp("8b")
    if shutil.disk_usage(folder).free < NEEDED_ON_DISK:
        pytest.skip("there is no room for 16 GB of weights on the disk")
    if torch.cuda.mem_get_info()[0] < NEEDED_ON_GPU:
        pytest.skip("the GPU has no 40 GB left")
    write(tiny_safetensors.write(folder / "model"))
    yield folder / "model"
    shutil.rmtree(folder)


def write(folder: Path) -> None:
    """Makes an 8B model of a tiny one, whose tokenizer stays."""
    config = {**json.loads((folder / "config.json").read_text()), **SHAPE}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").unlink()
    with torch.device("meta"):
        shapes = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder)).state_dict()
    names = sorted(shapes)
    parts = [names[at : at + 40] for at in range(0, len(names), 40)]
    where = {}
    for number, part in enumerate(parts, 1):
        file = f"model-{number:05d}-of-{len(parts):05d}.safetensors"
        weights = {
            name: torch.randn(shapes[name].shape, device="cuda").mul_(0.02).bfloat16().cpu()
            for name in part
        }
        save_file(weights, folder / file, metadata={"format": "pt"})
        where.update(dict.fromkeys(part, file))
    index = {"metadata": {}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    torch.cuda.empty_cache()


def used_mib() -> int:
    query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return int(subprocess.check_output(query, text=True).splitlines()[0])


@ON_ONE_SERVER
@pytest.mark.timeout(1200)
def test_five_instances_of_8b_in_nf4_fit_on_one_card(
    client: LLMClient,
    start_workers: StartWorkers,
    model: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given
    monkeypatch.setattr("tests.support.workers.READY_S", LOAD_S)
    before = used_mib()
    tables = [
        {"name": f"inst{n}", "backend": "hf_cuda", "model": str(model)} for n in range(INSTANCES)
    ]
    began = time.monotonic()
    for table in tables:
        start_workers(str(table["name"]), env={"APEX_LLM_INSTANCES": json.dumps(tables)})
    loaded_s = time.monotonic() - began
    after = used_mib()

    def speed(instance: str) -> float:
        began = time.monotonic()
        result = client.complete(
            "tell a story", agent_id="a", instance=instance, temperature=1, max_tokens=TOKENS
        )
        return result.usage.completion_tokens / (time.monotonic() - began)

    # When
    speed("inst0")
    alone = speed("inst0")
    with ThreadPoolExecutor(INSTANCES) as pool:
        together = list(pool.map(speed, [str(table["name"]) for table in tables]))
    # Then
    figures = (
        f"{torch.cuda.get_device_name()}: {INSTANCES} × 8B NF4, loaded in {loaded_s:.0f} s: "
        f"{(after - before) / 1024:.1f} GiB, one alone {alone:.1f} tokens/s, "
        f"together {sum(together):.1f} ({', '.join(f'{one:.1f}' for one in together)})"
    )
    with capfd.disabled():
        sys.stdout.write(f"\n{figures}\n")
    assert (after - before) / INSTANCES < 8 * 1024
    assert min(together) > 0
