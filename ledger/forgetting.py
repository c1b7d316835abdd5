"""Telling a model's process to forget sessions: a note, and a wake-up that leads to it.

The wake-up goes the way of a job's, because the process that has the model reads nothing else; so
it is read between two jobs.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from ledger import keys
from ledger.scripts import Call

_FIRST = "forget-"  # no job's id begins so: those are UUIDs
_KEPT_MS = 24 * 3600 * 1000  # of a note that nobody reads


def is_note(wakeup_id: str) -> bool:
    """True if a wake-up leads to a note, not to a job."""
    return wakeup_id.startswith(_FIRST)


def tell(instance: str, tenant: str, session_id: str | None) -> Call[bool]:
    """Leaves a note for an instance. Reads as False if that was never registered."""
    note_id = f"{_FIRST}{uuid.uuid4()}"
    return Call(
        "tell_to_forget",
        [keys.entry(instance), keys.queue(instance), keys.note(note_id)],
        [note_id, json.dumps([tenant, session_id]), _KEPT_MS],
        bool,
    )


def read(note_id: str, *, instance: str) -> Call[tuple[str, str | None] | None]:
    """The tenant and the session (None: all) of a note; None if it is gone.

    It is there until :func:`drop`, so that it is not lost with the answer to this call.
    """

    def parse(reply: str) -> tuple[str, str | None] | None:
        if not reply:
            return None
        found: Any = json.loads(reply)
        return found[0], found[1]

    names = [
        keys.note(note_id),
        keys.entry(instance),
        keys.waiting(instance),
        keys.woken(instance),
        keys.fair(instance),
        keys.queue(instance),
    ]
    return Call("read_note", names, [], parse)


def drop(note_id: str) -> Call[bool]:
    """Removes a note that was heeded."""
    return Call("drop_note", [keys.note(note_id)], [], bool)
