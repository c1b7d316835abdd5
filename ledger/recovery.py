"""What brings back jobs and wake-ups that were lost, and ends jobs that waited too long."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger import keys
from ledger.jobs import RETENTION_MS, celery_meta
from ledger.levels import Level
from ledger.messages import Event, Result, State
from ledger.scripts import Call

AT_ONCE = 100  # jobs of a kind that are looked at in one tick


@dataclass(frozen=True, slots=True)
class Duty:
    """What there is to do for the one worker that repairs; times are Redis' own, in ms.

    ``since_ms``: since when somebody has done it without a pause. ``models``: the model of each
    instance. ``rested``: jobs that waited after a failure and may run again, and their instances;
    ``late``: jobs that wait longer than they may.
    """

    now_ms: int
    since_ms: int
    models: Mapping[str, str]
    rested: Mapping[str, str]
    late: Mapping[str, str]


def reconcile(owner: str, *, term_ms: int, silence_ms: int) -> Call[Duty | None]:
    """Asks to be the one that repairs; None while another one asked less than its term ago.

    ``silence_ms``: after a pause of that length ``since_ms`` begins anew.
    """

    def read(reply: list[Any] | None) -> Duty | None:
        if reply is None:
            return None
        now_ms, since_ms, instances, rested, late = reply
        models = {name: _model_of(descriptor) for name, descriptor in _pairs(instances).items()}
        return Duty(now_ms, since_ms, models, _pairs(rested), _pairs(late))

    return Call(
        "reconcile",
        [
            keys.RECONCILER,
            keys.INSTANCES,
            keys.DELAYED,
            keys.EXPIRING,
            keys.job(""),
            keys.entry(""),
        ],
        [owner, term_ms, silence_ms, AT_ONCE],
        read,
    )


def mend(instance: str, *, patience_ms: int, ageing_ms: int = 0) -> Call[list[str]]:
    """Pushes the instance's lost wake-ups again, and tops up Celery's lists.

    A wake-up is lost if it is nowhere ``patience_ms`` after it was pushed. A job that has waited
    for ``ageing_ms`` counts as one band higher (0: never); one of a band is lifted at a time.
    Reads as the jobs that run there and whose lease is over.
    """
    return Call(
        "mend",
        [
            keys.entry(instance),
            keys.waiting(instance),
            keys.woken(instance),
            keys.running(instance),
            keys.fair(instance),
            keys.queue(instance),
            keys.held_back(instance),
            keys.job(""),
            keys.leaving(instance),
        ],
        [patience_ms, AT_ONCE, ageing_ms],
        list,
    )


def expire(
    result: Result, *, levels: Sequence[Level], retention_ms: int = RETENTION_MS
) -> Call[bool]:
    """Ends a job that still waits for its first claim, with ``result`` as its record.

    Reads as False if it does not wait there any more.
    """
    job_id, instance = result.job_id, result.instance
    return Call(
        "expire",
        [
            keys.job(job_id),
            keys.request(job_id),
            keys.stream(job_id),
            keys.result(job_id),
            keys.waiting(instance),
            keys.woken(instance),
            keys.EXPIRING,
            keys.parked(instance),
            *(level.key for level in levels),
        ],
        [
            job_id,
            instance,
            result.model_dump_json(),
            Event(kind="end", state=State.EXPIRED).body(),
            keys.celery_meta(job_id),
            json.dumps(celery_meta(result)),
            retention_ms,
        ],
        lambda reply: reply == "expired",
    )


def _pairs(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _model_of(descriptor: str) -> str:
    try:
        return str(json.loads(descriptor)["model"])
    except (ValueError, TypeError, KeyError):
        return ""
