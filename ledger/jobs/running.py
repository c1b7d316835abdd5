"""A job while it runs: its chunks, what it holds, the word to stop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from ledger import keys
from ledger.episodes import EpisodeTerms
from ledger.jobs.denial import denied
from ledger.levels import Level
from ledger.messages import Event
from ledger.scripts import Call

Control = Literal["go", "fenced", "cancel", "deadline", "budget", "yield", "leave"]

LEAVE = "leave"  # the stop of a job whose worker goes away: it is given back


def emit(
    job_id: str,
    *,
    instance: str,
    fence: int,
    chunk: int,
    tokens: int,
    prompt_tokens: int,
    event: Event,
    slots: int,
    yields_to_bands_below: int,
    episode: EpisodeTerms | None = None,
) -> Call[Control]:
    """Appends chunk number ``chunk`` (from 1) of this attempt and asks whether to go on.

    ``episode``: the terms of the job's episode, where it has one.
    """
    return Call(
        "emit",
        [
            keys.job(job_id),
            keys.stream(job_id),
            keys.running(instance),
            keys.queue(instance),
            keys.leaving(instance),
            *((episode.level.key,) if episode else ()),
        ],
        [
            fence,
            chunk,
            tokens,
            prompt_tokens,
            event.body(),
            slots,
            yields_to_bands_below,
            job_id,
            *(episode.args if episode else ()),
        ],
        lambda reply: reply,
    )


def stop(job_id: str, *, fence: int, why: str) -> Call[bool]:
    """Tells a job that runs under ``fence`` to stop; ``why`` is the time limit that it has passed,
    or :data:`LEAVE`.

    Reads as False when it does not run under it any more.
    """
    return Call("stop", [keys.job(job_id)], [fence, why], bool)


def hold(
    job_id: str, *, fence: int, wanted: int, least: int, levels: Sequence[Level]
) -> Call[int | None]:
    """Sets what a running job holds to ``wanted`` tokens, or what there is, at least ``least``.

    Reads as the tokens held, or None when the fence is no longer the job's.

    Raises (when read):
        BudgetExceeded: not even ``least`` fits.
    """

    def read(reply: list[Any]) -> int | None:
        if reply[0] == "held":
            return int(reply[1])
        if reply[0] == "fenced":
            return None
        raise denied(reply, levels, least)

    return Call(
        "hold",
        [keys.job(job_id), *(level.key for level in levels)],
        [fence, wanted, least, *(level.limit_arg for level in levels)],
        read,
    )
