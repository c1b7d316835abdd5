"""The Lua scripts: read once from the package, their includes put in, called by their SHA1."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Generic, TypeVar

T = TypeVar("T")

Arg = str | int | float

_INCLUDE = re.compile(r"^--!include (\w+)\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """One operation's text, with its includes, and its SHA1 as Redis computes it."""

    name: str
    text: str
    sha: str


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One round trip, described but not made: what to send and how to read the answer.

    The sync and the asyncio ledger both take calls, so each operation is written once.
    """

    script: str
    keys: Sequence[str]
    args: Sequence[Arg]
    read: Callable[[Any], T]


@cache
def load(name: str) -> Script:
    """The script ``ledger/lua/<name>.lua``, ready to be sent."""
    text = with_includes(_read(name))
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def with_includes(text: str) -> str:
    """A script's text with the files put in that it includes."""
    return _INCLUDE.sub(lambda match: _read(match[1]), text)


def _read(name: str) -> str:
    return resources.files("ledger").joinpath("lua", f"{name}.lua").read_text("utf-8")
