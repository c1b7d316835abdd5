"""The instances that have registered, and for how long each has not been heard."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ledger import keys
from ledger.instances import Descriptor
from ledger.scripts import Call


@dataclass(frozen=True, slots=True)
class Entry:
    """One instance; ``absent_s`` is infinite when it was never heard."""

    descriptor: Descriptor
    absent_s: float


@dataclass(frozen=True, slots=True)
class Registry:
    """A snapshot, taken in one round trip."""

    entries: tuple[Entry, ...]

    @property
    def models(self) -> list[str]:
        """Every model that a registered instance serves, sorted."""
        return sorted({entry.descriptor.model for entry in self.entries})


def read_registry() -> Call[Registry]:
    """The registry as it is now, in one round trip."""

    def read(reply: list[Any]) -> Registry:
        descriptors, seen, now_ms = reply
        return parse_registry(_pairs(descriptors), _pairs(seen), now_ms)

    return Call("read_registry", [keys.INSTANCES, keys.SEEN], [], read)


def parse_registry(
    descriptors: Mapping[str, str], seen: Mapping[str, str], now_ms: float
) -> Registry:
    """What Redis answered, as a registry.

    Args:
        descriptors: JSON by name. An entry that cannot be read is left out: the other instances
            still serve.
        seen: when each name was last heard, ms.
        now_ms: Redis' time, ms.
    """
    entries = []
    for name, text in descriptors.items():
        descriptor = _parse_descriptor(name, text)
        if descriptor is not None:
            absent_ms = now_ms - float(seen.get(name, -math.inf))
            entries.append(Entry(descriptor, max(absent_ms / 1000, 0.0)))
    return Registry(tuple(sorted(entries, key=lambda entry: entry.descriptor.name)))


def _pairs(flat: list[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _parse_descriptor(name: str, text: str) -> Descriptor | None:
    try:
        descriptor = Descriptor.model_validate_json(text)
    except ValueError:
        return None
    usable = math.isfinite(descriptor.weight) and descriptor.weight > 0
    return descriptor if usable and descriptor.name == name else None
