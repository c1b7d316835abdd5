"""Where a GGUF file comes from: a path, or a repository on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from budgets.gguf_files import ON_THE_HUB, named_for, parts_of
from ledger.errors import InvalidSetting
from ledger.settings import InstanceSpec, Settings
from workers.backends.base import Say, unsaid
from workers.backends.local.hub import download


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


def fetch(source: str, say: Say = unsaid) -> Path:
    """The file, downloaded if it must be. Of a model in several parts it is the first.

    Raises:
        InvalidSetting: there is no such file.
        BackendError: it could not be downloaded.
        BackendMissing: the hub's client is not installed.
    """
    if source.startswith("hf:"):
        found = ON_THE_HUB.fullmatch(source)
        if found is None:
            raise InvalidSetting(f"{source} is not of the form hf:org/repo:file.gguf.")
        first, *_ = [download(found[1], name, say) for name in parts_of(found[2])]
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
