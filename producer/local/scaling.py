"""Changing how many instances a stack has while it is up."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ledger import rehoming
from ledger.errors import ApexError, StackFailed, from_record
from ledger.overview import read_entries
from ledger.redis_client import Ledger
from ledger.settings import Settings
from ledger.steps import drive
from producer import draining
from producer.local.detached import LOOK_S, STATE_DIR
from producer.local.state import State, StateDir, Wish


@dataclass(frozen=True, slots=True)
class Scaled:
    """The instances that are up now, those that were stopped, and how many waiting jobs moved."""

    instances: tuple[str, ...]
    stopped: tuple[str, ...]
    moved: int


def scale(
    wanted: int,
    settings: Settings,
    *,
    state_dir: Path = STATE_DIR,
    patience_s: float = 200.0,
    timeout_s: float = 600.0,
) -> Scaled:
    """Has the stack that is up in ``state_dir`` run so many instances.

    Those with the highest numbers go: they are drained, may finish what runs for ``patience_s``
    seconds, are stopped, and forgotten. New ones get their agents' jobs that wait elsewhere.

    Raises:
        StackFailed: no stack is up there, or a worker did not come up within ``timeout_s`` seconds.
        InvalidSetting: its instances are not all alike.
        DoesNotFit: new ones do not fit into memory.
        RedisUnavailable
    """
    place = StateDir(state_dir)
    state = place.read() if place.held() else None
    if state is None:
        raise StackFailed(f"No stack is up in {place.path}; start one with `apexq up --detach`.")
    leaving = state.instances[wanted:]
    told = False
    with closing(Ledger(state.redis_url)) as ledger:
        try:
            moved = sum(
                drive(ledger, draining.drain(name, settings.absent_s)).moved for name in leaving
            )
            _await_idle(ledger, leaving, patience_s)
            told = True
            now = _grant(place, state, wanted, timeout_s).instances
        except BaseException as error:  # Ctrl-C too, unless they are being stopped by then
            if not told or isinstance(error, ApexError):
                for name in leaving:
                    drive(ledger, draining.resume(name, settings.absent_s))
            raise
        for name in leaving:
            ledger.run(rehoming.retire(name))  # where it has jobs, once it has none
        for name in now[len(state.instances) :]:  # it may have been drained when it was up before
            moved += drive(ledger, draining.resume(name, settings.absent_s)).moved
    return Scaled(now, leaving, moved)


def _await_idle(ledger: Ledger, names: Sequence[str], patience_s: float) -> None:
    until = time.monotonic() + patience_s
    while any(facts.running for facts in ledger.run(read_entries(names))):
        if time.monotonic() > until:
            return  # what runs is handed back when its worker is stopped
        time.sleep(LOOK_S)


def _grant(place: StateDir, state: State, wanted: int, timeout_s: float) -> State:
    """Asks the supervisor, and waits for its answer."""
    wish = Wish(id=uuid.uuid4().hex, instances=wanted)
    place.wish(wish)
    os.kill(state.pid, signal.SIGHUP)
    until = time.monotonic() + timeout_s
    while (now := place.read()) is None or now.answered != wish.id:
        if not place.held():
            raise StackFailed(f"The stack in {place.path} ended meanwhile; its log says why.")
        if time.monotonic() > until:
            raise StackFailed(f"The stack in {place.path} has not scaled after {timeout_s:g} s.")
        time.sleep(LOOK_S)
    if now.error is not None:
        raise from_record(now.error)
    return now
