"""Which GGUF file an instance is told to load, and how large it is, before anything is loaded."""

from __future__ import annotations

import re
from pathlib import Path

from ledger.instance_spec import names_gguf
from ledger.settings import InstanceSpec, Settings

ON_THE_HUB = re.compile(r"hf:([\w.-]+/[\w.-]+):(.+\.gguf)")
_PART = re.compile(r"(.+)-00001-of-(\d{5})\.gguf")


def named_for(spec: InstanceSpec, settings: Settings) -> str | None:
    """A path or ``hf:org/repo:file.gguf``: the instance's ``model`` if it is one, otherwise
    ``gguf_model_path``; None if neither names a file.
    """
    if names_gguf(spec.model):
        return spec.model
    return None if settings.gguf_model_path is None else str(settings.gguf_model_path)


def parts_of(name: str) -> list[str]:
    """The files of which ``name`` is the first, as llama.cpp names them; mostly only itself."""
    found = _PART.fullmatch(name)
    if found is None:
        return [name]
    return [f"{found[1]}-{n:05d}-of-{found[2]}.gguf" for n in range(1, int(found[2]) + 1)]


def size_of(path: Path) -> int:
    """Bytes of all the model's files."""
    return sum(path.with_name(part).stat().st_size for part in parts_of(path.name))


def local_path(source: str) -> Path | None:
    """The file of a path or ``hf:org/repo:file.gguf`` if all of it is on this machine; of a model
    in several parts the first.
    """
    found = ON_THE_HUB.fullmatch(source)
    if found is None:
        path = Path(source).expanduser()
        there = all(path.with_name(part).is_file() for part in parts_of(path.name))
        return path if there else None
    try:
        from huggingface_hub import try_to_load_from_cache
    except ModuleNotFoundError:
        return None
    paths = [try_to_load_from_cache(found[1], part) for part in parts_of(found[2])]
    return Path(str(paths[0])) if all(isinstance(path, str) for path in paths) else None
