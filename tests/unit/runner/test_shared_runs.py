"""Equal requests: one runs, the others end with its answer, whatever becomes of it."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from ledger import keys
from ledger.errors import BackendError, QueueFull
from ledger.messages import State
from ledger.redis_client import Ledger
from producer import LLMClient
from tests.support.runner_scene import Interposed, Scene
from tests.support.scripted import STOP, Letters, Script, never, pieces
from workers.backends import Piece
from workers.runner import Outcome

ASKED: dict[str, Any] = {"cache": True}


class Noting(Interposed):
    """A ledger that notes what it is asked."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        self.asked: list[str] = []

    def run(self, call: Any) -> Any:
        self.asked.append(call.script)
        return super().run(call)


def test_an_equal_request_ends_with_the_answer_and_costs_nothing(scene: Scene) -> None:
    first, second = scene.submit(**ASKED), scene.submit(**ASKED, agent_id="b")
    scene.run(first, Script([*pieces("one ", "two"), STOP]))
    charged = scene.charged[0]

    assert scene.run(second, never()) == (Outcome.SUCCEEDED, "")

    record = scene.record(second)
    assert (record.text, record.cached, record.job_id) == ("one two", True, second.id)
    assert record.usage.completion_tokens == 2
    assert scene.text(second) == "one two"
    assert scene.events(second)[-1].state is State.SUCCEEDED
    assert scene.charged == (charged, 0)
    assert not scene.record(first).cached


@pytest.mark.parametrize("said", [pieces("one ", "two"), []], ids=["text", "nothing"])
def test_one_that_ends_with_anothers_answer_says_nothing_of_how_long_jobs_run(
    scene: Scene, said: list[Piece]
) -> None:
    first, second = scene.submit(**ASKED), scene.submit(**ASKED)
    scene.run(first, Script([*said, STOP]))
    scene.ledger.redis.hset(keys.entry("inst0"), "run_ms", 3000)

    assert scene.run(second, never())[0] is Outcome.SUCCEEDED

    assert scene.ledger.redis.hget(keys.entry("inst0"), "run_ms") == "3000"


def test_one_that_comes_while_an_equal_one_runs_waits_for_its_answer(scene: Scene) -> None:
    first, second = scene.submit(**ASKED), scene.submit(**ASKED)
    met: list[Outcome] = []
    backend = Letters("abcdef", at={3: lambda: met.append(scene.run(second, never())[0])})

    scene.run(first, backend)

    assert met == [Outcome.REQUEUED]
    assert scene.woken() == [second.id]
    assert scene.run(second, never())[0] is Outcome.SUCCEEDED
    assert scene.record(second).text == "abcdef"


def test_one_that_waits_says_for_what(scene: Scene) -> None:
    first, second = scene.submit(**ASKED), scene.submit(**ASKED)
    said: list[str] = []

    def meet() -> None:
        scene.run(second, never())
        said.append(second.status().why)

    scene.run(first, Letters("abcdef", at={3: meet}))

    assert said == ["it waits for the answer to an equal request"]


def test_one_whose_run_failed_runs_by_itself(scene: Scene) -> None:
    first, second = scene.submit(**ASKED), scene.submit(**ASKED)

    def meet() -> None:
        assert scene.run(second, never())[0] is Outcome.REQUEUED

    failing = Script([Piece("a"), meet, BackendError("No.", retriable=False)])
    assert scene.run(first, failing)[0] is Outcome.FAILED

    assert scene.woken() == [second.id]
    assert scene.run(second, Script([Piece("b"), STOP]))[0] is Outcome.SUCCEEDED
    assert scene.record(second).text == "b"


def test_cancelling_one_leaves_the_others(scene: Scene) -> None:
    first, second = scene.submit(**ASKED), scene.submit(**ASKED)

    def meet() -> None:
        assert scene.run(second, never())[0] is Outcome.REQUEUED
        assert first.cancel() == "stopping"

    backend = Letters("abcdefgh")
    backend.at = {2: meet, 4: backend.stopped}
    assert scene.run(first, backend)[0] is Outcome.CANCELLED
    assert scene.run(second, Letters("abcdefgh"))[0] is Outcome.SUCCEEDED
    assert scene.record(second).text == "abcdefgh"


def test_one_that_waits_can_be_cancelled(scene: Scene) -> None:
    first, second = scene.submit(**ASKED), scene.submit(**ASKED)

    def meet() -> None:
        scene.run(second, never())
        assert second.cancel() == "cancelled"

    scene.run(first, Letters("abcdef", at={2: meet}))

    assert scene.record(second).state is State.CANCELLED
    assert scene.run(second, never())[0] is Outcome.NOOP
    assert scene.record(first).text == "abcdef"


def test_one_whose_text_has_begun_goes_on_by_itself(scene: Scene) -> None:
    # Given one that lost its process after text that had no token of its own
    job = scene.submit(**ASKED)
    scene.lose(job, Piece("ab", 0))
    # And the answer of an equal one, of another rank
    scene.run(scene.submit(**ASKED, priority="HIGH"), Script([Piece("x"), STOP]))
    # When
    assert scene.run(job, Letters("abcd"))[0] is Outcome.SUCCEEDED
    # Then
    assert scene.text(job) == scene.record(job).text == "abcd"


def test_where_an_answer_cannot_be_kept_equal_requests_do_not_wait_for_one_another(
    scene: Scene,
) -> None:
    first, second, third = (scene.submit(**ASKED) for _ in range(3))
    scene.run(first, Script([Piece("a"), Piece("", 0, "length")]))
    met: list[Outcome] = []

    def meet() -> None:
        met.append(scene.run(third, Script([Piece("c"), STOP]))[0])

    scene.run(second, Script([Piece("b"), meet, STOP]))

    assert met == [Outcome.SUCCEEDED]


def test_the_time_in_the_queue_of_one_that_waits_goes_on(scene: Scene) -> None:
    first = scene.submit(**ASKED, queue_timeout_s=100)
    second = scene.submit(**ASKED, queue_timeout_s=100)
    until_ms: list[Any] = []

    def meet() -> None:
        scene.run(second, never())
        until_ms.append(scene.ledger.redis.zscore(keys.EXPIRING, second.id))

    scene.run(first, Script([Piece("a"), meet, STOP]))

    assert until_ms == [scene.facts(second).submitted_ms + 100_000]


def test_one_whose_episode_is_over_ends_instead_of_waiting(scene: Scene) -> None:
    # Given
    scene.client.episode("night", token_budget=10_000)
    first, second = scene.submit(**ASKED), scene.submit(**ASKED, episode_id="night")
    scene.ledger.redis.hset(keys.budget("episode", "default", "night"), "deadline", 1)
    met: list[Outcome] = []
    # When
    scene.run(first, Script([Piece("a"), lambda: met.append(scene.run(second, never())[0]), STOP]))
    # Then
    assert met == [Outcome.FAILED]
    error = scene.record(second).error
    assert error is not None
    assert error["code"] == "deadline_exceeded"


def test_readers_are_told_once_that_it_waits(scene: Scene) -> None:
    first, second = scene.submit(**ASKED), scene.submit(**ASKED)

    def meet() -> None:
        for _ in range(3):
            assert scene.run(second, never())[0] is Outcome.REQUEUED

    scene.run(first, Script([Piece("a"), meet, STOP]))

    assert [event.kind for event in scene.events(second)] == ["requeued"]
    scene.run(second, never())
    assert scene.text(second) == "a"


def test_one_that_waited_and_then_ran_itself_does_not_say_that_it_waits_for_another(
    scene: Scene,
) -> None:
    # Given
    first, second = scene.submit(**ASKED), scene.submit(**ASKED)
    no = BackendError("No.", retriable=False)
    scene.run(first, Script([Piece("a"), lambda: scene.run(second, never()), no]))
    # When
    scene.run(second, Script([BackendError("Later.", retriable=True)]))
    # Then
    assert "its next attempt is in" in second.status().why


def test_many_that_wait_are_woken_together(scene: Scene) -> None:
    first, *others = (scene.submit(**ASKED) for _ in range(5))
    ledger = Noting(scene.ledger)

    def meet() -> None:
        for other in others:
            scene.run(other, never())

    scene.run(first, Script([Piece("a"), meet, STOP]), ledger)

    assert set(scene.woken()) >= {other.id for other in others}
    assert scene.paused() == []
    assert "wake" not in ledger.asked


def test_those_that_wait_for_an_equal_one_count_among_the_jobs_that_may_wait(scene: Scene) -> None:
    # Given an instance that takes two jobs beside those that are woken
    with LLMClient(scene.settings.model_copy(update={"max_waiting": 2})) as client:
        submit = partial(client.submit, "hello", agent_id="a", **ASKED)
        first, second, third = (submit() for _ in range(3))

        def meet() -> None:
            # When two wait for an equal one
            for one in (second, third):
                assert scene.run(one, never())[0] is Outcome.REQUEUED
            # Then there is no place for another
            with pytest.raises(QueueFull, match="2 jobs waiting"):
                submit()
            # And one of them that is cancelled makes room
            second.cancel()
            submit()
            with pytest.raises(QueueFull):
                submit()

        scene.run(first, Script([Piece("a"), meet, STOP]))

        # And so does the end of the one that they wait for
        submit()


def test_one_that_is_cancelled_as_it_begins_to_wait_ends_at_once(scene: Scene) -> None:
    first, second = scene.submit(**ASKED), scene.submit(**ASKED)
    met: list[Outcome] = []
    cancelled = Interposed(scene.ledger, before={"requeue": lambda: second.cancel() and None})

    def meet() -> None:
        met.append(scene.run(second, never(), cancelled)[0])

    scene.run(first, Script([Piece("a"), meet, STOP]))

    assert met == [Outcome.CANCELLED]
    assert scene.record(second).state is State.CANCELLED


def test_a_request_of_another_rank_does_not_wait(scene: Scene) -> None:
    first, urgent = scene.submit(**ASKED, priority="LOW"), scene.submit(**ASKED, priority="URGENT")
    met: list[Outcome] = []
    answering = Script([Piece("x"), STOP])

    scene.run(first, Script([Piece("a"), lambda: met.append(scene.run(urgent, answering)[0])]))

    assert met == [Outcome.SUCCEEDED]


def test_only_a_job_that_takes_part_makes_round_trips_for_it(scene: Scene) -> None:
    def round_trips(**options: Any) -> list[str]:
        ledger = Noting(scene.ledger)
        scene.run(scene.submit(**options), Script([Piece("a", 1, "stop")]), ledger)
        return ledger.asked

    assert round_trips() == ["claim", "emit", "finish"]
    assert round_trips(**ASKED) == [
        *("claim", "cache_begin", "emit", "cache_keep", "finish", "cache_end")
    ]
    assert round_trips(**ASKED) == ["claim", "cache_begin", "finish"]
