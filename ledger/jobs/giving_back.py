"""Running jobs that wait again: for another attempt, or for another model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ledger import keys
from ledger.messages import Event
from ledger.scripts import Call


@dataclass(frozen=True, slots=True)
class Rest:
    """An instance's rest of ``ms``, because its model's provider takes no more requests for now.

    A job is given up ``patience_ms`` after the first refusal of its own.
    """

    ms: int
    patience_ms: int


def requeue(
    job_id: str,
    *,
    instance: str,
    fence: int,
    reason: str,
    failed: bool,
    wait_ms: int = 0,
    lease_over: bool = False,
    shares: bool = False,
    rest: Rest | None = None,
) -> Call[Literal["queued", "exhausted", "stopped", "fenced", "renewed"]]:
    """Gives a running job back, before all others of its band; ``failed`` spends one attempt.

    It waits ``wait_ms`` until it is run again, or longer after several failures. With
    ``lease_over`` only a job is given back whose lease has run out. With a ``rest`` its instance
    starts no job until that is over; ``shares``: it waits for an equal job. In both cases one that
    has made nothing yet has its limit in the queue again, and ``reason`` is told its readers once.

    Reads as ``exhausted`` when that was its last attempt or the rest's patience is over, and
    ``stopped`` when it was cancelled meanwhile: nothing was changed, and the caller ends it with
    :func:`finish`.
    """
    event = Event(
        kind="requeued",
        attempt=fence,
        reason=reason,
        failed=failed,
        instance=instance if failed else "",
    )
    return Call(
        "requeue",
        [
            keys.job(job_id),
            keys.stream(job_id),
            keys.entry(instance),
            keys.woken(instance),
            keys.running(instance),
            keys.queue(instance),
            keys.leaving(instance),
            keys.DELAYED,
            keys.EXPIRING,
            keys.parked(instance),
        ],
        [
            job_id,
            fence,
            event.body(),
            int(failed),
            wait_ms,
            int(lease_over),
            int(shares),
            *((rest.ms, rest.patience_ms) if rest else ()),
        ],
        lambda reply: reply,
    )


def fall_back(
    job_id: str,
    *,
    fence: int,
    source: str,
    target: str,
    model: str,
    tried: Sequence[str],
    reason: str,
    begins_anew: bool,
) -> Call[Literal["queued", "stopped", "fenced", "closed"]]:
    """Gives a running job of ``source`` to ``target``, which has another ``model``.

    ``tried``: the models that could not answer it, for its next attempts to read. With
    ``begins_anew`` readers are told that what they have is void.

    Reads as ``closed`` when ``target`` takes no jobs by now, and as :func:`requeue` does.
    """
    event = Event(kind="requeued", attempt=fence, reason=reason, failed=True, instance=source)
    return Call(
        "fall_back",
        [
            keys.job(job_id),
            keys.stream(job_id),
            keys.running(source),
            keys.leaving(source),
            keys.entry(target),
            keys.waiting(target),
            keys.woken(target),
            keys.fair(target),
            keys.queue(target),
            keys.EXPIRING,
        ],
        [
            job_id,
            fence,
            target,
            model,
            json.dumps(tried),
            event.body(),
            Event(kind="reset", attempt=fence).body() if begins_anew else "",
        ],
        lambda reply: reply,
    )
