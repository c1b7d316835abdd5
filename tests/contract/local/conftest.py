"""What every library that runs a model in the process has to do, each with a tiny model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger.errors import ApexError
from tests.support.local_models import LIBRARIES, Library
from tests.support.sentences import is_one_sentence
from workers.backends import Backend
from workers.backends.base import Say, unsaid

Start = Callable[..., Any]
Refusal = Callable[..., str]

ALSO_IN_NF4 = pytest.mark.parametrize(
    "library", ["llama_cpp", "hf", "hf_nf4", "mlx"], indirect=True
)


@pytest.fixture(scope="module", params=["llama_cpp", "hf", "mlx"])
def library(request: pytest.FixtureRequest) -> Library:
    return LIBRARIES[request.param]()


@pytest.fixture(scope="module")
def model(library: Library, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return library.write(tmp_path_factory.mktemp("model"))


@pytest.fixture
def start(library: Library, model: Path) -> Iterator[Start]:
    """Loads the model, with these options of the instance; ``ctx_tokens`` is a setting."""
    started: list[Backend] = []

    def start_one(path: Path | str = model, say: Say = unsaid, **options: Any) -> Backend:
        backend = library.created(path, **options)
        backend.load(say)
        started.append(backend)
        return backend

    yield start_one
    for backend in started:
        backend.close()


@pytest.fixture
def backend(start: Start) -> Any:
    return start()


@pytest.fixture
def refusal(library: Library, capfd: pytest.CaptureFixture[str]) -> Refusal:
    """``refusal(model, kind, …)``: what an error of this kind, and nobody else, says instead of
    loading the model.
    """

    def refused(path: Path | str | None, kind: type[ApexError], **options: Any) -> str:
        with pytest.raises(kind) as caught:
            library.created(path, **options).load()
        assert type(caught.value) is kind
        assert is_one_sentence(caught.value)
        assert capfd.readouterr().err == ""
        return str(caught.value)

    return refused
