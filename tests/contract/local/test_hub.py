"""A model's folder on the hub: downloaded once, told how far it is, refused in a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("huggingface_hub")
pytest.importorskip("safetensors")
pytest.importorskip("tokenizers")

from ledger.errors import BackendError
from tests.support import tiny_safetensors
from tests.support.fake_hub import NOWHERE, FakeHub, look_for_the_hub
from tests.support.sentences import is_one_sentence
from workers.backends.local import folder as hf_source


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """``org/tiny`` on the hub, with files that nobody should fetch, and an empty local cache."""
    folder = tiny_safetensors.write(tmp_path / "online")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    (folder / "adapter_model.safetensors").write_bytes(b"an adapter may lie there, too")
    (folder / "modeling_own.py").write_text("raise SystemExit")
    with FakeHub("org/tiny", folder) as hub:
        look_for_the_hub(monkeypatch, hub.url, tmp_path / "cache")
        yield hub


def names_in(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir()}


def test_a_folder_is_downloaded_once_and_without_code_or_pickle(
    hub: FakeHub, capfd: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    folder = hf_source.fetch("org/tiny", said.append)

    wanted = {"config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"}
    wanted |= {"adapter_model.safetensors"}
    assert names_in(folder) == wanted
    assert hf_source.config_of(folder)["model_type"] == "llama"
    assert hf_source.name_of(folder) == "org/tiny"
    assert said[0] == "downloading org/tiny"
    assert re.fullmatch(r"downloading org/tiny: 100 % of 0.00 GB", said[-1])
    assert capfd.readouterr() == ("", "")

    said.clear()
    hub.asked.clear()
    assert hf_source.fetch("org/tiny", said.append) == folder
    assert said == hub.asked == []


@pytest.mark.usefixtures("hub")
def test_what_is_in_the_cache_needs_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = hf_source.fetch("org/tiny")

    look_for_the_hub(monkeypatch, NOWHERE, tmp_path / "cache")

    assert hf_source.fetch("org/tiny") == folder


def test_a_download_that_broke_off_goes_on(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda s: None)  # it retries
    hub.lost.add("model.safetensors")
    with pytest.raises(BackendError, match="could not be downloaded") as caught:
        hf_source.fetch("org/tiny")
    assert is_one_sentence(caught.value)
    assert "config.json" in hub.asked
    # When
    hub.lost.clear()
    hub.asked.clear()
    folder = hf_source.fetch("org/tiny")
    # Then
    assert set(hub.asked) == {"model.safetensors"}
    assert (folder / "model.safetensors").read_bytes() == (
        hub.folder / "model.safetensors"
    ).read_bytes()


def test_a_cache_that_has_the_settings_only_is_filled(hub: FakeHub) -> None:
    from huggingface_hub import hf_hub_download

    hf_hub_download("org/tiny", "config.json")

    assert "model.safetensors" in names_in(hf_source.fetch("org/tiny"))


def test_a_model_that_the_hub_does_not_have_is_refused(
    hub: FakeHub, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BackendError, match="org/other is not in the local cache") as caught:
        hf_source.fetch("org/other")

    assert is_one_sentence(caught.value)
    assert capfd.readouterr() == ("", "")


def test_without_a_network_a_download_fails_fast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_for_the_hub(monkeypatch, NOWHERE, tmp_path / "cache")

    with pytest.raises(BackendError, match="org/tiny is not in the local cache") as caught:
        hf_source.fetch("org/tiny")
    assert is_one_sentence(caught.value)
