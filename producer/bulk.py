"""Many submits at once: cut into batches, one script call each, several calls in a pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ledger.errors import ApexError, NoInstance
from ledger.jobs import Accepted
from ledger.scripts import Call

T = TypeVar("T")

BATCH_JOBS = 100  # a script call of so many holds Redis up for a millisecond or two
BATCH_CHARS = 1_000_000
AT_ONCE = 5  # batches in one pipeline


@dataclass(frozen=True, slots=True)
class Batch:
    """One call for several orders, and their places in the list that was given."""

    places: Sequence[int]
    call: Call[list[Accepted] | Exception]


def cut(lengths: Sequence[int]) -> Iterator[slice]:
    """Slices of what has these lengths (characters), within the limits of a batch."""
    first = size = 0
    for place, length in enumerate(lengths):
        if place > first and (place - first == BATCH_JOBS or size + length > BATCH_CHARS):
            yield slice(first, place)
            first, size = place, 0
        size += length
    if first < len(lengths):
        yield slice(first, len(lengths))


def pipelines(calls: Sequence[T], at_once: int = AT_ONCE) -> Iterator[Sequence[T]]:
    """The batches, or other calls, that are sent together."""
    return (calls[at : at + at_once] for at in range(0, len(calls), at_once))


def refusals(
    batches: Sequence[Batch], replies: Sequence[list[Accepted] | Exception]
) -> Iterator[tuple[int, ApexError | None]]:
    """Each order's place, and why it was refused or None; errors that are not ours are raised.

    What went wrong with a whole batch, such as a budget level that is damaged, stands for each of
    its orders.
    """
    for batch, reply in zip(batches, replies, strict=True):
        if isinstance(reply, Exception) and not isinstance(reply, ApexError):
            raise reply
        answers = [reply] * len(batch.places) if isinstance(reply, ApexError) else reply
        for place, answer in zip(batch.places, answers, strict=True):
            yield place, answer if isinstance(answer, ApexError) else None


def rerouted(refused: Mapping[int, ApexError | None]) -> list[int]:
    """The places whose orders are to be sent once more, to their agents' new homes: those that had
    others by now, or whose home was forgotten a moment ago.
    """
    return [place for place, why in refused.items() if isinstance(why, NoInstance)]
