"""Options of an instance, and what loading does and leaves alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ledger.errors import InvalidSetting
from tests.contract.local.conftest import ALSO_IN_NF4
from tests.support.local_models import Library, answer, asked
from tests.support.sentences import is_one_sentence


@pytest.mark.parametrize(
    ("library", "options", "said"),
    [
        ("llama_cpp", {"n_gpu_layer": 1}, "no option 'n_gpu_layer'; it has .*n_gpu_layers"),
        ("llama_cpp", {"n_threads": 0}, "n_threads"),
        ("llama_cpp", {"n_batch": "many"}, "n_batch"),
        ("llama_cpp", {"verbose": 1}, "verbose"),
        ("llama_cpp", {"slots": 2}, "one job at a time"),
        ("hf", {"n_batches": 1}, "no option 'n_batches'; it has .*n_batch"),
        ("hf", {"trust_remote_code": True}, "no option 'trust_remote_code'"),
        ("hf", {"n_threads": 0}, "n_threads"),
        ("hf", {"device": "gpu"}, "device"),
        ("hf", {"quantization": "fp4"}, "quantization"),
        ("hf", {"adapters": "folder"}, "adapters"),
        ("hf", {"slots": 2}, "one job at a time"),
        ("mlx", {"n_gpu_layers": 1}, "no option 'n_gpu_layers'; it has .*n_batch"),
        ("mlx", {"n_batch": 0}, "n_batch"),
        ("mlx", {"chat_format": "chatml"}, "chat_format"),
        ("mlx", {"slots": 2}, "one job at a time"),
    ],
    indirect=["library"],
)
def test_an_option_that_cannot_be_used_is_refused_in_a_sentence(
    library: Library, model: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidSetting, match=said) as caught:
        library.created(model, **options)
    assert is_one_sentence(caught.value)


def test_the_library_is_not_imported_before_the_model_is_loaded(
    library: Library, model: Path
) -> None:
    table = {"name": "inst0", **library.table, "model": str(model)}
    script = f"""
import sys
from ledger.settings import load_settings
from workers.backends import create
settings = load_settings(env={{}}, instances=[{table!r}])
create(settings.instances[0], settings)
print([name for name in {library.modules!r} if name in sys.modules])
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert ran.stdout == "[]\n"


def test_it_is_well_only_while_it_is_loaded(library: Library, model: Path) -> None:
    backend = library.created(model)
    assert backend.health()
    backend.load()
    assert backend.health() == ""
    backend.close()
    assert backend.health()


@ALSO_IN_NF4
def test_it_is_silent(library: Library, model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    backend = library.created(model)
    backend.load()
    answer(backend, asked())
    backend.close()

    assert capfd.readouterr() == ("", "")
