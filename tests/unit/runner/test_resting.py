"""An instance that rests because its model's provider takes no more requests for now."""

from __future__ import annotations

import pytest

from ledger import instances, jobs
from ledger.recovery import mend
from producer.cli.instances import read_instances
from tests.support import attempts
from tests.support.fleet import come
from tests.support.hands import Hands
from tests.support.provider import ENTRY, pass_the_rest, refuse, rest_s, take_wake_ups
from tests.support.registering import OWNER, register
from tests.support.runner_scene import Scene
from tests.support.scripted import STOP, Script
from workers.backends import Piece
from workers.runner import Outcome

RESTS = "rests for 12 s: its provider takes no requests, or its server is not there"


@pytest.mark.parametrize(
    ("said_s", "rests_s"), [(12, 12), (0.5, 0.5), (None, 5), (0, 5), (-3, 5), (100_000, 3600)]
)
def test_how_long_it_rests(scene: Scene, said_s: float | None, rests_s: float) -> None:
    refuse(scene, scene.submit(), said_s)

    assert rests_s - 2 <= rest_s(scene) <= rests_s


def test_the_longest_rest_counts(scene: Scene) -> None:
    first, second = scene.submit(), scene.submit(agent_id="b")
    claim = scene.take(second)

    refuse(scene, first, 3000)
    call = attempts.requeue(claim, failed=False, rest=jobs.Rest(1000, patience_ms=1000))
    assert scene.ledger.run(call) == "queued"

    assert rest_s(scene) > 2000


def test_while_it_rests_it_starts_no_job_and_then_all_in_their_order(scene: Scene) -> None:
    # Given jobs that wait, of which the first is refused
    first, *others = [scene.submit(agent_id="a") for _ in range(5)]
    urgent = scene.submit(agent_id="b", priority="URGENT")
    refuse(scene, first)
    # When the wake-ups that are under way are taken, and more jobs come
    assert take_wake_ups(scene) == [urgent.id, others[0].id, others[1].id]
    others.append(scene.submit(agent_id="a"))
    scene.ledger.run(mend("inst0", patience_ms=0))
    # Then none is woken
    assert take_wake_ups(scene) == []
    # When it has rested
    pass_the_rest(scene)
    # Then they are served as they would have been
    expected = [urgent.id, first.id, *(job.id for job in others)]
    assert Hands(scene.ledger).serve(7) == expected
    assert not scene.ledger.redis.hexists(ENTRY, "rest")


def test_a_job_that_comes_just_after_the_rest_does_not_overtake(scene: Scene) -> None:
    first = scene.submit()
    refuse(scene, first)
    scene.ledger.redis.hset(ENTRY, "rest", 1)

    second = scene.submit()

    assert take_wake_ups(scene) == []
    pass_the_rest(scene)
    assert Hands(scene.ledger).serve(2) == [first.id, second.id]


def test_other_jobs_that_run_there_go_on(scene: Scene) -> None:
    register(scene.ledger, slots=2)
    other, job = scene.submit(agent_id="b"), scene.submit()
    backend = Script([Piece("a"), lambda: (refuse(scene, job), None)[1], Piece("b"), STOP])

    assert scene.run(other, backend)[0] is Outcome.SUCCEEDED

    assert scene.record(other).text == "ab"
    assert rest_s(scene) > 0


def test_a_drained_instance_stays_so_when_its_rest_is_over(scene: Scene) -> None:
    come(scene.ledger, "inst0")
    job = scene.submit()
    refuse(scene, job)
    scene.client.drain("inst0")

    pass_the_rest(scene)

    assert take_wake_ups(scene) == []
    scene.client.resume("inst0")
    assert Hands(scene.ledger).serve(1) == [job.id]


def test_an_instance_that_is_resumed_still_rests(scene: Scene) -> None:
    come(scene.ledger, "inst0")
    job = scene.submit()
    refuse(scene, job)
    scene.client.drain("inst0")

    scene.client.resume("inst0")

    assert rest_s(scene) > 0
    assert take_wake_ups(scene) == []
    pass_the_rest(scene)
    assert Hands(scene.ledger).serve(1) == [job.id]


def test_a_drained_instances_jobs_go_elsewhere_also_while_it_rests(scene: Scene) -> None:
    come(scene.ledger, "inst0", "inst1")
    job = scene.submit(agent_id="Planner")
    refuse(scene, job)

    scene.client.drain("inst0")

    assert scene.facts(job).instance == "inst1"


def test_a_worker_that_is_started_again_still_rests(scene: Scene) -> None:
    refuse(scene, scene.submit())

    register(scene.ledger)
    scene.ledger.run(instances.set_state("inst0", OWNER, "ready"))

    assert rest_s(scene) > 0
    scene.submit(agent_id="b")
    assert take_wake_ups(scene) == []


def test_who_waits_is_told_why(scene: Scene) -> None:
    come(scene.ledger, "inst0")
    job, other = scene.submit(), scene.submit(agent_id="b")

    refuse(scene, job)

    for one in (job, other):
        assert one.status().why == f"its instance {RESTS}"


def test_people_see_that_it_rests_and_for_how_long(scene: Scene) -> None:
    come(scene.ledger, "inst0")
    refuse(scene, scene.submit())

    (shown,) = read_instances(scene.ledger)

    assert (shown.state, shown.why) == ("resting", RESTS)
    pass_the_rest(scene)
    (shown,) = read_instances(scene.ledger)
    assert (shown.state, shown.why) == ("ready", "")
