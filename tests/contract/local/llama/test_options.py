"""Cores and the GPU."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("llama_cpp")

from ledger.settings import load_settings
from workers.backends.llama import options as llama_options


def test_all_layers_go_to_the_gpu_and_instances_share_the_cores(model: Path) -> None:
    settings = load_settings(env={}, gguf_model_path=model, instances=2)
    options = llama_options.parse(settings.instances[0])
    many = settings.model_copy(update={"instances": settings.instances * 1000})
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()

    assert options.n_gpu_layers == -1
    assert llama_options.threads(options, settings) == max(1, (cores or 1) // 2)
    assert llama_options.threads(options, many) == 1
    assert llama_options.threads(options.model_copy(update={"n_threads": 7}), settings) == 7
