"""Where a model in Hugging Face's format comes from: a folder, or a repository on the hub; and
whether it is one that may be loaded.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ledger.errors import InvalidSetting
from ledger.instance_spec import names_gguf
from ledger.settings import InstanceSpec, Settings
from workers.backends.base import Say, unsaid
from workers.backends.local.hub import download_folder

ON_THE_HUB = re.compile(r"[\w-][\w.-]*/[\w.-]+")
INDEX = "model.safetensors.index.json"
TOKENIZERS = ("tokenizer.*", "vocab.*", "*.model", "*.tiktoken", "tekken.json")


def source_of(spec: InstanceSpec, settings: Settings) -> str:
    """A folder or ``org/model``: the instance's ``model``, otherwise the settings'.

    Raises:
        InvalidSetting: neither names one.
    """
    named = spec.model or settings.model
    if named and not names_gguf(named):
        return named
    said = f"{named} is a GGUF file, which llama_cpp runs" if named else "it has no model"
    raise InvalidSetting(
        f"{spec.name} cannot run {spec.backend}, {said}: set APEX_LLM_MODEL_ID, or model in its "
        "table, to a folder in Hugging Face's format or to org/model on the hub."
    )


def fetch(source: str, say: Say = unsaid, *, named_by: str = "APEX_LLM_MODEL_ID") -> Path:
    """The folder, downloaded if it must be. ``named_by``: where it was named, for the sentence.

    Raises:
        InvalidSetting: there is no such folder.
        BackendError: it could not be downloaded.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        raise InvalidSetting(f"{source} is a file; name the folder that has the model's files.")
    if ON_THE_HUB.fullmatch(source):
        return download_folder(source, say)
    raise InvalidSetting(f"There is no folder {source}; check {named_by}.")


def name_of(folder: Path) -> str:
    """The model's name for people. The hub's client names a folder after a commit, and the one of
    the repository ``models--org--name``.
    """
    repository = folder.parent.parent.name
    if folder.parent.name == "snapshots" and repository.startswith("models--"):
        return repository.removeprefix("models--").replace("--", "/", 1)
    return folder.name


def config_of(folder: Path) -> dict[str, Any]:
    """The model's ``config.json``, once it is clear that its weights may be loaded.

    Raises:
        InvalidSetting: that file is missing or broken, there are no weights in safetensors, or
            there is no tokenizer.
    """
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except FileNotFoundError:
        raise InvalidSetting(f"{folder} is no model's folder: it has no config.json.") from None
    except (OSError, ValueError) as error:
        raise InvalidSetting(f"{folder}/config.json cannot be read: {error}.") from None
    if not isinstance(config, dict):
        raise InvalidSetting(f"{folder}/config.json cannot be read: it is no JSON object.")
    _require_safetensors(folder)
    if not any(found for name in TOKENIZERS for found in folder.glob(name)):
        raise InvalidSetting(f"{folder} has no tokenizer; add the model's tokenizer.json.")
    return config


def _require_safetensors(folder: Path) -> None:
    if (folder / INDEX).is_file():
        for name in _parts(folder):
            if not (folder / name).is_file():
                raise InvalidSetting(f"{folder} is not complete: its part {name} is missing.")
    elif not any(folder.glob("*.safetensors")):
        others = [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")]
        instead = f"; {others[0].name} may hold code (pickle) and is never loaded" if others else ""
        raise InvalidSetting(f"{folder} has no weights in safetensors{instead}.")


def _parts(folder: Path) -> list[str]:
    try:
        named = json.loads((folder / INDEX).read_text("utf-8"))["weight_map"].values()
        return sorted({str(name) for name in named})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InvalidSetting(f"{folder}/{INDEX} cannot be read; download the model anew.") from None
