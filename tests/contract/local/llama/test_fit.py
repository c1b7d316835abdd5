"""The arithmetic of memory against what llama.cpp itself says that it allocates."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

pytest.importorskip("llama_cpp")
pytest.importorskip("gguf")

from budgets import gguf
from budgets.fit import compute_bytes
from ledger.settings import load_settings
from tests.support import tiny_gguf
from workers.backends import create


@pytest.mark.parametrize("ctx_tokens", [1024, 8192])
@pytest.mark.parametrize("flash_attn", [False, True])
def test_buffers_and_cache_are_those_that_llama_cpp_allocates(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, ctx_tokens: int, flash_attn: bool
) -> None:
    # Given
    path = tiny_gguf.write(tmp_path / "tiny.gguf")
    table = {
        "name": "inst0",
        "backend": "llama_cpp",
        "model": str(path),
        "flash_attn": flash_attn,
        "verbose": True,
    }
    settings = load_settings(env={}, instances=[table], ctx_tokens=ctx_tokens)
    backend = create(settings.instances[0], settings)
    # When
    with caplog.at_level(logging.DEBUG):
        backend.load()
        backend.close()
    # Then
    model = gguf.read(path).model(path.stat().st_size)
    compute = compute_bytes(model, ctx_tokens, flash_attention=flash_attn)
    allocated = mib(caplog.text, "compute buffer size")
    # Half a MiB goes to this tiny model's feed-forward, which larger ones do in the same room.
    assert compute == pytest.approx(allocated, rel=0.03, abs=600_000)
    cache = model.kv_bytes_per_token * ctx_tokens
    assert cache == pytest.approx(mib(caplog.text, "KV buffer size"), rel=0.01)


def mib(log: str, what: str) -> float:
    """Bytes, from llama.cpp's own log."""
    found = re.search(rf"{what} = +([\d.]+) MiB", log)
    assert found is not None, log
    return float(found[1]) * 2**20
