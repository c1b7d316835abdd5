"""The checks of `make torture` complain when something is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ledger.messages import Event, Result, State, Usage
from tests.torture import checks
from tests.torture.asked import Asked
from tests.torture.books import Job
from tests.torture.journal import Entry, Read

ASKED = Asked(
    0,
    "plain",
    {"tenant": "acme", "agent_id": "a", "priority": "LOW", "prompt": "p"},
    "follow",
    0,
    "ab cd",
)
CHUNKS = [
    Event(seq=1, kind="chunk", attempt=1, text="ab", tokens=1),
    Event(seq=2, kind="chunk", attempt=1, text=" cd", tokens=1),
]
END = Event(seq=3, kind="end", attempt=1, state=State.SUCCEEDED)
RESULT = Result(
    job_id="j0",
    state=State.SUCCEEDED,
    text="ab cd",
    usage=Usage(prompt_tokens=3, completion_tokens=2),
)
FIELDS = {
    "state": "succeeded", "made": "2", "prompt": "3", "cost": "5", "held": "0", "fence": "1",
    "claimed": "1000", "instance": "inst0",
}  # fmt: skip
GOOD = Job(0, ASKED, Entry("j0", "accepted", Read("ab cd", "succeeded")), FIELDS, RESULT,
           [*CHUNKS, END])  # fmt: skip


def complaints(job: Job) -> list[str]:
    return [
        *checks.ended_once([job]),
        *checks.ended_as_asked([job], 3),
        *checks.texts([job]),
        *checks.tokens([job]),
    ]


def test_a_good_job_is_no_cause_for_complaint() -> None:
    assert complaints(GOOD) == []


WRONG: dict[str, tuple[Callable[[Job], Job], str]] = {
    "lost": (lambda job: replace(job, result=None), "has no record"),
    "ended twice": (
        lambda job: replace(job, events=[*job.events, END.model_copy(update={"seq": 4})]),
        "2 terminal events",
    ),
    "went on after its end": (
        lambda job: replace(job, events=[END.model_copy(update={"seq": 1}), *CHUNKS]),
        "1 terminal events",
    ),
    "has a gap": (lambda job: replace(job, events=[CHUNKS[0], END]), "a gap in its stream"),
    "is in two states": (
        lambda job: replace(job, fields=FIELDS | {"state": "failed"}),
        "its record says succeeded",
    ),
    "was not read": (
        lambda job: replace(job, entry=Entry("j0", "accepted")),
        "was not read to its end",
    ),
    "was read otherwise": (
        lambda job: replace(job, entry=Entry("j0", "accepted", Read("ab", "succeeded"))),
        "was read as 'ab'",
    ),
    "says another text": (
        lambda job: replace(job, asked=replace(ASKED, text="ab cd ef")),
        "instead of 'ab cd ef'",
    ),
    "was charged twice": (lambda job: replace(job, fields=FIELDS | {"cost": "10"}), "charged 10"),
    "still holds": (lambda job: replace(job, fields=FIELDS | {"held": "7"}), "still holds 7"),
    "emitted more than was counted": (
        lambda job: replace(job, fields=FIELDS | {"made": "1", "cost": "4"}),
        "emitted 2, counted 1",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_said_with_the_jobs_id(wrong: str) -> None:
    spoil, said = WRONG[wrong]

    found = complaints(spoil(GOOD))

    assert any(said in one and "j0" in one for one in found), found


def in_line(number: int, claimed: int, **fields: str) -> Job:
    return replace(
        GOOD,
        asked=replace(ASKED, number=number),
        entry=Entry(f"j{number}", "accepted"),
        fields=FIELDS | {"claimed": str(claimed)} | fields,
    )


def test_a_job_that_was_overtaken_is_named() -> None:
    (said,) = checks.order([in_line(0, 2000), in_line(1, 1500)], set())
    assert "job j0 was taken 500 ms after j1" in said


def test_a_job_that_ran_again_or_whose_wake_up_a_fault_took_may_be_overtaken() -> None:
    assert list(checks.order([in_line(0, 2000, fence="2"), in_line(1, 1500)], set())) == []
    assert list(checks.order([in_line(0, 2000), in_line(1, 1500)], {"j0"})) == []


def test_jobs_that_nobody_was_told_of_and_strange_refusals_are_named() -> None:
    entries = [Entry("j0", "accepted"), Entry("j1", "budget_exceeded"), Entry("j2", "queue_full")]
    assert list(checks.known({"j0", "j9"}, entries)) == [
        "job j9 is in the ledger, and nobody was told that it was accepted"
    ]
    assert list(checks.answers(entries)) == ["job j2 was refused: queue_full"]
