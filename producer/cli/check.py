"""One finding of ``apexq doctor``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class Check:
    """One finding; ``todo`` is what to do about it, ``lines`` are what it was found from."""

    name: str
    status: Status
    found: str
    todo: str = ""
    lines: tuple[str, ...] = ()
