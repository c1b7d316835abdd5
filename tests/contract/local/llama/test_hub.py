"""A file of the hub: downloaded once, told how far it is, refused in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("llama_cpp")
pytest.importorskip("huggingface_hub")

from ledger.errors import BackendError
from tests.contract.local.conftest import Refusal, Start
from tests.support.fake_hub import NOWHERE, FakeHub, look_for_the_hub
from tests.support.local_models import Library

SOURCE = "hf:org/tiny:tiny.gguf"


@pytest.fixture
def model(library: Library, tmp_path: Path) -> Path:
    """A file in a folder of its own."""
    (tmp_path / "files").mkdir()
    return library.write(tmp_path / "files")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub's client, with nothing in it and no network behind it."""
    look_for_the_hub(monkeypatch, NOWHERE, tmp_path / "hub")
    return tmp_path / "hub"


@pytest.fixture
def online(cache: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A hub with one file on it."""
    with FakeHub("org/tiny", model.parent) as hub:
        look_for_the_hub(monkeypatch, hub.url, cache)
        yield


def test_a_file_of_the_hub_that_is_in_the_local_cache_needs_no_network(
    cache: Path, model: Path, start: Start
) -> None:
    snapshot = cache / "models--org--tiny" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    refs = cache / "models--org--tiny" / "refs"
    refs.mkdir()
    (refs / "main").write_text("abc")
    model.rename(snapshot / "tiny.gguf")

    start(SOURCE)


@pytest.mark.usefixtures("online")
def test_a_file_of_the_hub_is_downloaded_once_and_says_how_far_it_is(
    start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []

    start(SOURCE, said.append)

    assert said[0] == "downloading tiny.gguf"
    assert said[-1] == "downloading tiny.gguf: 100 % of 0.00 GB"
    assert capfd.readouterr() == ("", "")
    said.clear()
    start(SOURCE, said.append)
    assert said == []


@pytest.mark.usefixtures("online")
def test_a_file_that_the_hub_does_not_have_is_refused(refusal: Refusal) -> None:
    said = refusal("hf:org/tiny:other.gguf", BackendError)

    assert "other.gguf of org/tiny is not in the local cache and could not be downloaded" in said


@pytest.mark.usefixtures("cache")
def test_without_a_network_a_download_fails_fast(refusal: Refusal) -> None:
    said = refusal(SOURCE, BackendError)

    assert "not in the local cache and could not be downloaded" in said
