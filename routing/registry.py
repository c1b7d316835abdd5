"""The instances that have registered, and for how long each has not been heard."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ledger import keys
from ledger.instances import Descriptor
from ledger.scripts import Call


@dataclass(frozen=True, slots=True)
class Load:
    """What an instance has to do: jobs that wait and run, and the average run, ms (0: unknown)."""

    waiting: int = 0
    running: int = 0
    run_ms: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """One instance.

    ``absent_s`` is infinite when it was never heard. ``closed`` says why its agents are served
    elsewhere: ``absent``, ``drained``, ``joining``. ``quiet`` says why its waiting jobs are not
    woken: ``drained``, ``settling``. Both are empty otherwise. ``retiring``: it is drained and
    forgotten as soon as it has no jobs.
    """

    descriptor: Descriptor
    absent_s: float
    closed: str = ""
    quiet: str = ""
    state: str = ""
    load: Load = Load()
    retiring: bool = False

    @property
    def name(self) -> str:
        """Its name, which is its queue."""
        return self.descriptor.name

    @property
    def drained(self) -> bool:
        """Whether somebody said that it starts no more jobs."""
        return self.quiet == "drained"

    def serves(self, absent_s: float) -> bool:
        """Whether it was heard within ``absent_s`` and is not drained."""
        return self.absent_s < absent_s and not self.drained


@dataclass(frozen=True, slots=True)
class Registry:
    """A snapshot, taken in one round trip; ``routes`` changes when agents are given other homes."""

    entries: tuple[Entry, ...]
    routes: str = ""

    @property
    def models(self) -> list[str]:
        """Every model that a registered instance serves, sorted."""
        return sorted({entry.descriptor.model for entry in self.entries})

    def open_where(self, may: Callable[[Entry], bool]) -> Registry:
        """This registry, with every instance closed that may not take over another one's jobs."""

        def for_others(entry: Entry) -> Entry:
            return entry if may(entry) else replace(entry, closed=entry.closed or "absent")

        return Registry(tuple(for_others(entry) for entry in self.entries), self.routes)


def read_registry() -> Call[Registry]:
    """The registry as it is now, in one round trip."""

    def read(reply: list[Any]) -> Registry:
        descriptors, seen, now_ms, routes, rows = reply
        facts = {row[0]: row[1:] for row in rows}
        return parse_registry(_pairs(descriptors), _pairs(seen), now_ms, facts, routes)

    return Call(
        "read_registry",
        [
            keys.INSTANCES,
            keys.SEEN,
            keys.ROUTES,
            keys.entry(""),
            keys.waiting(""),
            keys.woken(""),
            keys.running(""),
        ],
        [],
        read,
    )


def parse_registry(
    descriptors: Mapping[str, str],
    seen: Mapping[str, str],
    now_ms: float,
    facts: Mapping[str, list[Any]] | None = None,
    routes: str = "",
) -> Registry:
    """What Redis answered, as a registry.

    Args:
        descriptors: JSON by name. An entry that cannot be read is left out: the other instances
            still serve.
        seen: when each name was last heard, ms.
        now_ms: Redis' time, ms.
        facts: closed, quiet, state, run_ms, jobs that wait, jobs that run, retiring, by name.
        routes: the count of changes.
    """
    entries = []
    for name, text in descriptors.items():
        descriptor = _parse_descriptor(name, text)
        if descriptor is not None:
            absent_s = max((now_ms - float(seen.get(name, -math.inf))) / 1000, 0.0)
            closed, quiet, state, run_ms, waiting, running, retiring = (facts or {}).get(
                name, ["", "", "", 0, 0, 0, 0]
            )
            load = Load(waiting, running, run_ms)
            entries.append(Entry(descriptor, absent_s, closed, quiet, state, load, bool(retiring)))
    return Registry(tuple(sorted(entries, key=lambda entry: entry.name)), routes)


def _pairs(flat: list[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _parse_descriptor(name: str, text: str) -> Descriptor | None:
    try:
        descriptor = Descriptor.model_validate_json(text)
    except ValueError:
        return None
    usable = math.isfinite(descriptor.weight) and descriptor.weight > 0
    return descriptor if usable and descriptor.name == name else None
