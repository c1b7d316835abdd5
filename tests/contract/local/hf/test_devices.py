"""Where the model is, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from ledger.errors import InvalidSetting
from ledger.settings import load_settings
from tests.support.local_models import Library
from tests.support.sentences import is_one_sentence
from workers.backends.hf.device import device_of
from workers.backends.hf.options import HfOptions


def test_a_device_that_is_not_there_is_refused_in_a_sentence(library: Library, model: Path) -> None:
    missing = f"cuda:{torch.cuda.device_count()}"

    with pytest.raises(InvalidSetting, match=f"device {missing}: this machine has") as caught:
        library.created(model, device=missing).load()
    assert is_one_sentence(caught.value)


def test_instances_take_the_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    tables = [{"name": f"inst{n}", "backend": "hf", "model": "org/model"} for n in range(4)]
    settings = load_settings(env={}, instances=[{"name": "first", "backend": "mock"}, *tables])
    specs = settings.instances[1:]

    assert [device_of(one, HfOptions(), settings).index for one in specs] == [0, 1, 0, 1]
    assert device_of(specs[0], HfOptions(device="cuda:1"), settings).index == 1


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_it_says_what_it_loads_and_where(library: Library, model: Path, quantization: str) -> None:
    if quantization == "nf4":
        pytest.importorskip("bitsandbytes")
    said: list[str] = []
    backend = library.created(model, quantization=quantization)

    backend.load(said.append)

    assert said == ["loading tiny on cpu"]
    backend.close()
