"""A model in Hugging Face's format: a folder, or a repository on the hub."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ledger.errors import InvalidSetting
from ledger.settings import InstanceSpec
from workers.backends.base import Say, unsaid
from workers.backends.hub import download_folder

_ON_THE_HUB = re.compile(r"(?:hf:)?([\w.-]+/[\w.-]+)")


def source_of(spec: InstanceSpec) -> str:
    """The path of a folder, or ``org/name`` of a repository.

    Raises:
        InvalidSetting: the instance names no model.
    """
    if spec.model:
        return spec.model
    raise InvalidSetting(
        f"{spec.name} cannot run {spec.backend}, it has no model: set APEX_LLM_MODEL_ID, or model "
        "in its table, to the path of a folder or to org/name on the Hugging Face hub."
    )


def fetch(source: str, say: Say = unsaid) -> Path:
    """The folder, downloaded if it must be.

    Raises:
        InvalidSetting: there is no such folder, or it has no model in it that may be loaded.
        BackendError: it could not be downloaded.
    """
    found = _ON_THE_HUB.fullmatch(source)
    path = Path(source).expanduser()
    if not path.exists() and found is None:
        raise InvalidSetting(f"There is no folder {path}; check APEX_LLM_MODEL_ID.")
    folder = path if path.exists() or found is None else download_folder(found[1], say)
    _check(folder, source)
    return folder


def config_of(folder: Path) -> dict[str, Any]:
    """What ``config.json`` says.

    Raises:
        InvalidSetting: there is none, or it cannot be read.
    """
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except FileNotFoundError:
        raise InvalidSetting(f"{folder} has no config.json, so it is no model's folder.") from None
    except (OSError, ValueError) as error:
        why = str(error).partition("\n")[0].rstrip(".")
        raise InvalidSetting(f"The config.json of {folder} cannot be read: {why}.") from None
    if not isinstance(config, dict):
        raise InvalidSetting(f"The config.json of {folder} is no table.")
    return config


def trained_ctx(config: dict[str, Any]) -> int | None:
    """Tokens of context that the model was made for; None if it does not say."""
    length = config.get("text_config", config).get("max_position_embeddings")
    return length if isinstance(length, int) and length > 0 else None


def _check(folder: Path, name: str) -> None:
    if not folder.is_dir():
        raise InvalidSetting(f"{name} is a file; a model of this backend is a folder.")
    if any(folder.glob("model*.safetensors")):
        return
    others = any(folder.glob("*.bin")) or any(folder.glob("*.pt"))
    why = "only weights in pickle, which may run code" if others else "no weights"
    raise InvalidSetting(f"{name} has {why}; take a copy with model*.safetensors.")
