"""What the runner may expect of every backend, of those that run on a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ledger.settings import load_settings
from tests.contract.test_backends import *  # noqa: F403  its tests, with the candidates below
from tests.support.candidates import Candidate


def hf_nf4(folder: Path) -> Candidate:
    pytest.importorskip("bitsandbytes")
    from tests.support import tiny_safetensors

    return of_table(
        "rain", "good night", backend="hf_cuda", model=written(tiny_safetensors, folder)
    )


def llama_cpp(folder: Path) -> Candidate:
    engine = pytest.importorskip("workers.backends.llama.engine")
    if not engine.offloads(-1):
        pytest.skip("llama.cpp was built without CUDA")
    from tests.support import tiny_gguf

    model = tiny_gguf.write(folder / "tiny.gguf", ends=True)
    return of_table(tiny_gguf.LONG, tiny_gguf.SHORT, backend="llama_cpp", model=str(model))


def written(tiny: Any, folder: Path) -> str:
    return str(tiny.write(folder / "tiny", ends=True))


def of_table(long: str, short: str, **table: str) -> Candidate:
    settings = load_settings(env={}, instances=[{"name": "inst0", **table}])
    return Candidate(spec=settings.instances[0], settings=settings, long=long, short=short)


CANDIDATES_HERE = {each.__name__: each for each in (hf_nf4, llama_cpp)}


@pytest.fixture(scope="module", params=CANDIDATES_HERE)
def candidate(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Candidate:
    return CANDIDATES_HERE[request.param](tmp_path_factory.mktemp("model"))
