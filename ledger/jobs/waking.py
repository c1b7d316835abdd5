"""Wake-ups of jobs that wait already."""

from __future__ import annotations

from ledger import keys
from ledger.scripts import Call


def wake(job_id: str, *, instance: str) -> Call[bool]:
    """Pushes another wake-up of a job that waits for ``instance``; False if it does not."""
    return Call(
        "wake",
        [
            keys.job(job_id),
            keys.entry(instance),
            keys.waiting(instance),
            keys.woken(instance),
            keys.queue(instance),
            keys.DELAYED,
            keys.parked(instance),
        ],
        [job_id, instance],
        bool,
    )


def release(instance: str) -> Call[int]:
    """Wakes turns that were held back until another one of their session had ended.

    Reads as how many. To be called when a turn has ended, and now and then.
    """
    return Call(
        "release",
        [
            keys.held_back(instance),
            keys.entry(instance),
            keys.woken(instance),
            keys.running(instance),
            keys.queue(instance),
            keys.job(""),
        ],
        [],
        int,
    )
