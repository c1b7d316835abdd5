"""How the instances are, for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ledger import keys
from ledger.scripts import Call


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """One instance now.

    ``state`` is empty if it never registered. ``waiting`` and ``running`` count jobs. ``heard_s``
    is how many seconds ago its worker last gave a sign of life; None: never. ``window``: tokens of
    context of its model; 0: not known yet, or no limit of its own. ``drained``: it starts no jobs.
    ``rest_s``: nor does it for so long, because its provider takes no more requests.
    ``abilities``: what its backend can do; empty: not known yet.
    """

    name: str
    state: str
    why: str
    node: str
    pid: int
    waiting: int
    running: int
    heard_s: float | None
    window: int = 0
    drained: bool = False
    rest_s: float = 0.0
    abilities: tuple[str, ...] = ()


def read_entries(names: Sequence[str]) -> Call[list[InstanceFacts]]:
    """The instances of these names, in order."""

    def read(reply: list[list[Any]]) -> list[InstanceFacts]:
        return [_facts_of(name, row) for name, row in zip(names, reply, strict=True)]

    own = [
        key
        for name in names
        for key in (keys.entry(name), keys.waiting(name), keys.woken(name), keys.running(name))
    ]
    return Call("read_entries", [keys.SEEN, *own], list(names), read)


def _facts_of(name: str, row: list[Any]) -> InstanceFacts:
    state, why, node, pid, waiting, woken, running, heard_ms, window, drained, rest_ms, can = row
    # A job whose wake-up is on its way still waits.
    heard_s = None if heard_ms < 0 else heard_ms / 1000
    waiting += woken
    return InstanceFacts(
        name=name,
        state=state,
        why=why,
        node=node,
        pid=pid,
        waiting=waiting,
        running=running,
        heard_s=heard_s,
        window=window,
        drained=bool(drained),
        rest_s=rest_ms / 1000,
        abilities=tuple(can.split()),
    )
