"""Further attempts at a job."""

from __future__ import annotations

import pytest

from ledger.messages import State, TokenLogprob
from tests.support.runner_scene import Scene
from tests.support.scripted import PROMPT_TOKENS, STOP, Letters, Script, pieces
from workers.backends import OPTIONS, Piece
from workers.backends.base import Abilities
from workers.runner import Outcome


def test_an_attempt_after_a_lost_one_continues_its_text(scene: Scene) -> None:
    job = scene.submit(max_tokens=10)
    scene.lose(job, *[Piece(letter) for letter in "abc"])
    backend = Letters("abcdef")

    assert scene.run(job, backend)[0] is Outcome.SUCCEEDED
    run = backend.runs[0]
    assert (run.continue_from, run.attempt, run.max_tokens) == ("abc", 2, 7)
    record = scene.record(job)
    assert (record.text, record.attempt, record.usage.completion_tokens) == ("abcdef", 2, 6)
    assert scene.text(job) == "abcdef"
    assert scene.charged == (PROMPT_TOKENS + 6, 0)


def test_probabilities_are_those_of_the_whole_answer(scene: Scene) -> None:
    def weighed(letter: str) -> Piece:
        return Piece(letter, logprobs=(TokenLogprob(id=ord(letter), text=letter, logprob=-1.5),))

    job = scene.submit(max_tokens=10, logprobs=0)
    scene.lose(job, weighed("a"), weighed("b"))

    scene.run(job, Script([weighed("c"), weighed("d")]))

    assert "".join(one.text for one in scene.record(job).logprobs) == "abcd"
    assert scene.record(job).logprobs == tuple(
        one for event in scene.events(job) for one in event.logprobs
    )


def test_what_the_model_found_in_its_cache_is_in_the_record(scene: Scene) -> None:
    job = scene.submit()

    scene.run(job, Script([Piece("a", cached_tokens=2), Piece("b")]))

    assert scene.record(job).usage.cached_tokens == 2
    assert scene.charged == (PROMPT_TOKENS + 2, 0)


def test_an_attempt_of_a_backend_that_cannot_continue_resets_its_readers(scene: Scene) -> None:
    job = scene.submit(max_tokens=10)
    scene.lose(job, Piece("abc", 3))
    backend = Script(pieces("x", "y"), abilities=Abilities(continues=False))

    assert scene.run(job, backend)[0] is Outcome.SUCCEEDED
    assert backend.runs[0].continue_from == ""
    assert [event.kind for event in scene.events(job)][:3] == ["chunk", "requeued", "reset"]
    assert scene.text(job) == scene.record(job).text == "xy"
    assert scene.charged == (PROMPT_TOKENS + 5, 0)


def test_an_option_that_a_backend_begins_anew_with_resets_its_readers(scene: Scene) -> None:
    job = scene.submit(max_tokens=10, response_format={"type": "json_object"})
    scene.lose(job, Piece("abc", 3))
    options, anew = frozenset(OPTIONS), frozenset({"response_format"})
    backend = Script(pieces("x"), abilities=Abilities(True, options, anew_with=anew))

    assert scene.run(job, backend)[0] is Outcome.SUCCEEDED
    assert backend.runs[0].continue_from == ""
    assert "reset" in [event.kind for event in scene.events(job)]


def test_nothing_is_reset_when_the_lost_attempt_made_nothing(scene: Scene) -> None:
    job = scene.submit(max_tokens=10)
    scene.lose(job)

    scene.run(job, Script(pieces("x"), abilities=Abilities(continues=False)))

    assert "reset" not in [event.kind for event in scene.events(job)]
    assert scene.record(job).text == "x"


def test_an_answer_that_begins_anew_may_be_as_long_as_the_first(scene: Scene) -> None:
    job = scene.submit(max_tokens=4)
    scene.lose(job, Piece("abc", 3))

    scene.run(job, Script(pieces(*"wxyz"), abilities=Abilities(continues=False)))

    assert scene.record(job).text == "wxyz"


def test_an_answer_that_was_lost_at_its_last_token_does_not_succeed_empty(scene: Scene) -> None:
    job = scene.submit(max_tokens=3)
    scene.lose(job, Piece("abc", 3))

    scene.run(job, Script(pieces(*"xyz"), abilities=Abilities(continues=False)))

    record = scene.record(job)
    assert (record.state, record.text == "") != (State.SUCCEEDED, True)
    assert record.text == scene.text(job)


def test_an_answer_that_was_complete_when_its_process_was_lost_is_kept(scene: Scene) -> None:
    job = scene.submit(max_tokens=3)
    scene.lose(job, Piece("abc", 3))
    backend = Letters("abcdef")

    assert scene.run(job, backend)[0] is Outcome.SUCCEEDED
    assert (scene.record(job).text, scene.record(job).finish_reason) == ("abc", "length")
    assert backend.runs == []
    assert scene.charged == (PROMPT_TOKENS + 3, 0)


def test_the_record_of_such_an_answer_says_what_was_charged(scene: Scene) -> None:
    job = scene.submit(max_tokens=3)
    scene.lose(job, Piece("abc", 3))

    scene.run(job, Letters("abcdef"))

    assert scene.record(job).usage.total_tokens == scene.charged[0]


@pytest.mark.parametrize("continues", [True, False])
def test_text_without_tokens_of_a_lost_attempt_is_not_doubled(
    scene: Scene, continues: bool
) -> None:
    job = scene.submit(max_tokens=10)
    scene.lose(job, Piece("ab", 0))
    backend = Letters("abcd")
    backend.abilities = Abilities(continues=continues)

    scene.run(job, backend)

    assert scene.text(job) == scene.record(job).text == "abcd"


def test_an_attempt_that_is_denied_keeps_the_text_of_the_one_before(scene: Scene) -> None:
    job = scene.submit(max_tokens=10)
    scene.lose(job, Piece("abc", 3))
    backend = Script([], abilities=Abilities(continues=True, window=2))

    assert scene.run(job, backend)[0] is Outcome.FAILED
    assert scene.record(job).text == scene.text(job) == "abc"


def test_an_attempt_that_was_fenced_off_writes_nothing_more(scene: Scene) -> None:
    job = scene.submit()

    def lose() -> None:
        scene.delivered(job, "a")()
        scene.give_back(job)
        scene.take(job)

    zombie = Script([Piece("a"), lose, Piece("b"), Piece("c"), STOP])

    assert scene.run(job, zombie) == (Outcome.NOOP, "fenced")
    assert scene.text(job) == "a"
    assert scene.state(job) is State.RUNNING
