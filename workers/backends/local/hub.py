"""Files of the Hugging Face hub, by its own client, with a word on how far they are."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ledger.errors import BackendError, BackendMissing
from workers.backends.base import Say
from workers.backends.local.first_line import first_line

CONNECT_S = 5.0  # to find out that there is no network
SAY_EVERY_S = 1.0
GB = 1e9

# What a model's folder needs; no code, and no weights that may hold some.
OF_A_MODEL = (
    "*.json",
    "model*.safetensors",
    "adapter_model.safetensors",
    "tokenizer.model",
    "*.tiktoken",
    "*.txt",
    "*.jinja",
)


def download(repo: str, name: str, say: Say) -> Path:
    """A file, from the local cache, which needs no network, or from the hub.

    Raises:
        BackendError: it could not be downloaded.
        BackendMissing: the hub's client is not installed.
    """
    try:
        from huggingface_hub import hf_hub_download
    except ModuleNotFoundError as error:
        raise BackendMissing(backend="llama_cpp", extra="llama") from error

    def get(**options: Any) -> str:
        return str(hf_hub_download(repo, name, **options))

    return _cached_or_fetched(get, Path.is_file, repo, name, f"{name} of {repo}", name, say)


def download_folder(repo: str, say: Say) -> Path:
    """A model's folder with :data:`OF_A_MODEL`, likewise.

    Raises:
        BackendError: it could not be downloaded, or not all of it.
    """
    from huggingface_hub import snapshot_download

    def get(**options: Any) -> str:
        return str(snapshot_download(repo, allow_patterns=list(OF_A_MODEL), **options))

    return _cached_or_fetched(get, _has_weights, repo, "config.json", repo, repo, say)


def _has_weights(folder: Path) -> bool:
    """False for what is left where somebody asked for the tokenizer or the settings only."""
    return any(folder.glob("*.safetensors"))


def _cached_or_fetched(
    get: Callable[..., str],
    whole: Callable[[Path], bool],
    repo: str,
    probe: str,
    what: str,
    name: str,
    say: Say,
) -> Path:
    """What ``get`` returns, which tells from ``probe`` whether there is a network at all."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        found = Path(get(local_files_only=True))
        if whole(found):
            return found
    except LocalEntryNotFoundError:
        pass
    try:
        get_hf_file_metadata(hf_hub_url(repo, probe), timeout=CONNECT_S)  # asks once only
        say(f"downloading {name}")
        return Path(get(tqdm_class=_meter(name, say)))
    except Exception as error:  # noqa: BLE001  whatever the hub's client raises
        why = first_line(error)
    raise BackendError(
        f"{what} is not in the local cache and could not be downloaded: {why}.", retriable=False
    )


def _meter(name: str, say: Say) -> type[Any]:
    """A progress bar for the hub's client that speaks instead of drawing."""
    from tqdm import tqdm

    class Meter(tqdm):
        monitor_interval = 0  # no thread that looks after slow bars

        def __init__(self, *args: Any, **options: Any) -> None:
            quiet = {"file": io.StringIO(), "mininterval": SAY_EVERY_S, "disable": False}
            super().__init__(*args, **{**options, **quiet})

        def display(self, msg: str | None = None, pos: int | None = None) -> None:
            # Of a folder there are bars for what is received, for what is written, and for files.
            if self.total and self.unit == "B" and self.desc != "Downloading bytes":
                share = 100 * self.n / self.total
                say(f"downloading {name}: {share:.0f} % of {self.total / GB:.2f} GB")

    return Meter
