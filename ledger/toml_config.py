"""Settings as a file, apexq.toml: where it lies and what it gives."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from pathlib import Path

from ledger.environment import Given, nearest
from ledger.errors import InvalidSetting

DEFAULT_NAME = "apexq.toml"


def find(named: Given | None) -> Path | None:
    """The file's resolved path: the named one, else ``./apexq.toml`` if there is one.

    Raises:
        InvalidSetting: the named file does not exist.
    """
    if named is None:
        default = Path(DEFAULT_NAME)
        return default.resolve() if default.is_file() else None
    path = Path(named.value).expanduser().resolve()
    if not path.is_file():
        raise InvalidSetting(f"{named.source} names {path}, which is not a file.")
    return path


def read(path: Path, known: Collection[str]) -> dict[str, Given]:
    """What the file gives, by field.

    Raises:
        InvalidSetting: it cannot be read, is not TOML, or has a key that is not in ``known``.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidSetting(f"{path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSetting(f"{path} is not valid TOML: {error}.") from None
    for key in table:
        if key not in known:
            raise InvalidSetting(
                f"Unknown key {key!r} in {path}; did you mean {nearest(key, known)!r}?"
            )
    return {key: Given(value, f"{key} in {path}") for key, value in table.items()}
