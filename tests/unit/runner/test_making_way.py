"""Jobs that make way for better ones."""

from __future__ import annotations

import pytest

from ledger import keys
from ledger.messages import State
from tests.support.runner_scene import Scene, yielding
from tests.support.scripted import STOP, Letters, Script, pieces
from workers.backends import Piece
from workers.backends.base import Abilities
from workers.runner import Outcome


def test_a_low_job_makes_way_and_goes_on_where_it_was(scene: Scene) -> None:
    job, backend = yielding(scene)

    assert scene.run(job, backend) == (Outcome.REQUEUED, "yield")

    assert scene.state(job) is State.QUEUED
    assert backend.runs[0].stop.is_set()
    so_far = scene.text(job)
    assert so_far.startswith("abcd")
    scene.pop_urgent()
    assert scene.run(job, backend)[0] is Outcome.SUCCEEDED
    assert backend.runs[1].continue_from == so_far
    record = scene.record(job)
    assert record.text == scene.text(job) == "abcdefgh"
    assert (record.usage.completion_tokens, record.attempt) == (8, 1)
    assert "reset" not in [event.kind for event in scene.events(job)]


def test_pieces_that_were_not_sent_when_a_job_makes_way_are_made_again(scene: Scene) -> None:
    # Given pieces that are made faster than the ledger answers
    job = scene.submit(priority="LOW")
    scene.submit(agent_id="b", priority="URGENT")
    backend = Letters("abcdefgh" * 20, burst=7)

    # When
    while (outcome := scene.run(job, backend)[0]) is Outcome.REQUEUED:
        assert len(backend.runs) < 200

    # Then
    assert len(backend.runs) >= 2
    assert outcome is Outcome.SUCCEEDED
    assert scene.record(job).text == scene.text(job) == "abcdefgh" * 20
    assert scene.record(job).usage.completion_tokens == 160


@pytest.mark.parametrize(
    ("own", "other", "gives_way"),
    [
        ("LOW", "NORMAL", True),
        ("LOW", "LOW", False),
        ("NORMAL", "URGENT", True),
        ("NORMAL", "HIGH", False),
        ("HIGH", "URGENT", False),
        ("URGENT", "URGENT", False),
    ],
)
def test_who_makes_way_for_whom(scene: Scene, own: str, other: str, gives_way: bool) -> None:
    job = scene.submit(priority=own)
    scene.submit(agent_id="b", priority=other)

    backend = Script([Piece("a"), scene.delivered(job, "a"), Piece("b"), STOP])

    expected = Outcome.REQUEUED if gives_way else Outcome.SUCCEEDED
    assert scene.run(job, backend)[0] is expected


@pytest.mark.parametrize(("other", "gives_way"), [("NORMAL", False), ("URGENT", True)])
def test_a_low_job_that_was_lifted_makes_way_as_a_normal_one(
    scene: Scene, other: str, gives_way: bool
) -> None:
    job = scene.submit(priority="LOW")
    scene.ledger.redis.hset(keys.job(job.id), "lifted", 1)
    scene.submit(agent_id="b", priority=other)

    backend = Script([Piece("a"), scene.delivered(job, "a"), Piece("b"), STOP])

    expected = Outcome.REQUEUED if gives_way else Outcome.SUCCEEDED
    assert scene.run(job, backend)[0] is expected


def test_a_job_whose_backend_cannot_continue_makes_way_for_nothing(scene: Scene) -> None:
    job = scene.submit(priority="LOW")
    scene.submit(agent_id="b", priority="URGENT")

    backend = Script(pieces("a", "b"), abilities=Abilities(continues=False))

    assert scene.run(job, backend)[0] is Outcome.SUCCEEDED


def test_a_job_that_is_complete_when_it_should_make_way_ends(scene: Scene) -> None:
    job = scene.submit(priority="LOW")
    scene.submit(agent_id="b", priority="URGENT")

    assert scene.run(job, Script([Piece("all", 1, "stop")]))[0] is Outcome.SUCCEEDED
    assert scene.record(job).text == "all"
