"""Where a GGUF file comes from: a path, or a repository on the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

from budgets.gguf_files import named_for, parts_of
from ledger.errors import BackendError, BackendMissing, InvalidSetting
from ledger.settings import InstanceSpec, Settings

_ON_THE_HUB = re.compile(r"hf:([\w.-]+/[\w.-]+):(.+\.gguf)")
HUB_TIMEOUT_S = 5.0


def source_of(spec: InstanceSpec, settings: Settings) -> str:
    """A path or ``hf:org/repo:file.gguf``: the instance's ``model`` if it is one, otherwise
    ``gguf_model_path``.

    Raises:
        InvalidSetting: neither names a file.
    """
    named = named_for(spec, settings)
    if named is not None:
        return named
    said = f"its model {spec.model!r} is no GGUF file" if spec.model else "it has no model"
    raise InvalidSetting(
        f"{spec.name} cannot run llama_cpp, {said}: set APEX_GGUF_MODEL_PATH, or model in its "
        "table, to the path of a .gguf file or to hf:org/repo:file.gguf."
    )


def fetch(source: str) -> Path:
    """The file, downloaded if it must be. Of a model in several parts it is the first.

    Raises:
        InvalidSetting: there is no such file.
        BackendError: it could not be downloaded.
        BackendMissing: the hub's client is not installed.
    """
    if source.startswith("hf:"):
        found = _ON_THE_HUB.fullmatch(source)
        if found is None:
            raise InvalidSetting(f"{source} is not of the form hf:org/repo:file.gguf.")
        first, *_ = [_download(found[1], name) for name in parts_of(found[2])]
        return first
    path = Path(source).expanduser()
    for part in parts_of(path.name):
        _check(path.with_name(part))
    return path


def _check(path: Path) -> None:
    try:
        if path.is_dir():
            raise InvalidSetting(f"{path} is a folder, not a GGUF file.")
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise InvalidSetting(f"There is no file {path}; check APEX_GGUF_MODEL_PATH.") from None
    except OSError as error:
        raise InvalidSetting(f"{path} cannot be read: {error.strerror}.") from None


def _download(repo: str, name: str) -> Path:
    """From the local cache, which needs no network, or from the hub."""
    try:
        from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
        from huggingface_hub.errors import LocalEntryNotFoundError
    except ModuleNotFoundError as error:
        raise BackendMissing(backend="llama_cpp", extra="llama") from error
    try:
        return Path(hf_hub_download(repo, name, local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    try:
        get_hf_file_metadata(hf_hub_url(repo, name), timeout=HUB_TIMEOUT_S)  # asks once only
        return Path(hf_hub_download(repo, name))
    except Exception as error:  # noqa: BLE001  whatever the hub's client raises
        why = str(error).strip().partition("\n")[0][:200].rstrip(".") or type(error).__name__
    raise BackendError(
        f"{name} of {repo} is not in the local cache and could not be downloaded: {why}.",
        backend="llama_cpp",
        retriable=False,
    )
