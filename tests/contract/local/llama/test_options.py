"""Cores and the GPU."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("llama_cpp")

from ledger.settings import load_settings
from workers.backends.llama.options import LlamaOptions
from workers.backends.local.threads import threads
from workers.backends.options import parse


def test_all_layers_go_to_the_gpu_and_instances_share_the_cores(model: Path) -> None:
    settings = load_settings(env={}, gguf_model_path=model, instances=2)
    options = parse(settings.instances[0], LlamaOptions)
    many = settings.model_copy(update={"instances": settings.instances * 1000})
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()

    assert options.n_gpu_layers == -1
    assert threads(options.n_threads, "llama_cpp", settings) == max(1, (cores or 1) // 2)
    assert threads(options.n_threads, "llama_cpp", many) == 1
    assert threads(7, "llama_cpp", settings) == 7
