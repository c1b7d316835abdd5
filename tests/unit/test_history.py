"""What the runner reads of a session and what the session keeps, without a process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from ledger import jobs, keys, sessions
from ledger.messages import Request, Result, State
from ledger.redis_client import Ledger
from ledger.settings import Settings
from producer import (
    BudgetExceeded,
    ContextTooLong,
    CorruptEntry,
    InvalidRequest,
    Job,
    JobFailed,
    LLMClient,
)
from tests.support import attempts
from tests.support.conversation import ASKED, mark_of, said
from tests.support.registering import OWNER, register
from workers.backends import Piece, Run
from workers.backends.base import Abilities
from workers.backends.mock import MockBackend
from workers.runner import Runner

KEY = keys.session("default", "a", "s")


class Scene:
    """A client, and a runner that does what it submits on the mock."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.ledger = settings, Ledger(settings.redis_url)
        self.client = LLMClient(settings)
        self.session = self.client.session("a", "s")
        register(self.ledger)

    def ask(self, prompt: str | None = None, **options: Any) -> Result:
        """Asks in session s of agent a, unless told otherwise."""
        job = self.client.submit(prompt, **{**ASKED, **options})
        self.run(job)
        return job.result(timeout=5)

    def run(self, job: Job, backend: Any = None, **changes: Any) -> None:
        settings = self.settings.model_copy(update=changes)
        spec = settings.instance("inst0")
        backend = backend or MockBackend(spec, settings)
        pid = os.getpid()
        Runner(self.ledger, backend, spec, settings, owner=OWNER, pid=pid).run(job.id)

    def kept(self) -> list[str]:
        """What was asked in each turn that the session has."""
        return [said(turn)[0] for turn in self.session.turns()]

    def close(self) -> None:
        self.client.close()
        self.ledger.close()


@pytest.fixture
def scene(settings: Settings) -> Iterator[Scene]:
    scene = Scene(settings)
    yield scene
    scene.close()


@dataclass
class Window:
    """A model with a window that answers ``yes`` and notes what it read."""

    tokens: int
    read: list[list[str]] = field(default_factory=list)

    @property
    def abilities(self) -> Abilities:
        return Abilities(continues=True, window=self.tokens)

    def count_tokens(self, request: Request) -> int:
        return sum(len(text.split()) for text in request.texts)

    def stream(self, run: Run) -> Iterator[Piece]:
        self.read.append(run.request.texts)
        yield Piece("yes", 1, "stop")


# What is read


def test_the_prompt_is_counted_and_paid_with_what_was_read(scene: Scene) -> None:
    first = scene.ask("hello")
    second = scene.ask("and so on?")

    assert second.usage.prompt_tokens == 1 + len(first.text.split()) + 3
    stats = scene.client.get_stats()
    assert stats["tokens_used"] == first.usage.total_tokens + second.usage.total_tokens
    assert stats["tokens_held"] == 0


def test_without_history_nothing_is_read_and_nothing_is_kept(scene: Scene) -> None:
    scene.ask("hello")

    other = scene.ask("and so on?", history=False)

    assert mark_of("and so on?") in other.text
    assert scene.kept() == ["hello"]


def test_a_system_message_stays_first_in_the_following_turns(scene: Scene) -> None:
    turns = ({"role": "system", "content": "Be terse."}, {"role": "user", "content": "hello"})
    first = scene.ask(messages=turns)
    second = scene.ask("and so on?")

    assert mark_of("hello", system="Be terse.") in first.text
    assert mark_of("hello", first.text, "and so on?", system="Be terse.") in second.text


def test_the_oldest_turns_are_not_read_where_the_window_is_too_small(scene: Scene) -> None:
    model = Window(tokens=20)
    for number in range(4):
        scene.run(scene.client.submit(f"w{number} x x x", **ASKED, max_tokens=8), model)

    # A turn has 4 + 1 tokens, the request 4, the answer 8: of three turns one fits.
    assert model.read[1] == ["w0 x x x", "yes", "w1 x x x"]
    assert model.read[3] == ["w2 x x x", "yes", "w3 x x x"]
    assert scene.kept() == [f"w{number} x x x" for number in range(4)]


def test_the_system_message_stays_where_no_turn_fits(scene: Scene) -> None:
    model = Window(tokens=20)
    turns = ({"role": "system", "content": "Be terse."}, {"role": "user", "content": "x " * 9})
    scene.run(scene.client.submit(messages=turns, **ASKED, max_tokens=8), model)
    scene.run(scene.client.submit("hello", **ASKED, max_tokens=8), model)

    assert model.read[1] == ["Be terse.", "hello"]


def test_a_request_that_does_not_fit_without_any_turn_is_too_long(scene: Scene) -> None:
    scene.ask("hello")
    job = scene.client.submit("word " * 20, **ASKED, max_tokens=8)

    scene.run(job, Window(tokens=20))

    with pytest.raises(ContextTooLong):
        job.result(timeout=5)
    assert scene.kept() == ["hello"]


def test_a_history_that_the_budget_has_no_room_for_is_denied(scene: Scene) -> None:
    scene.ask("word " * 300, max_tokens=5)
    scene.client.episode("e", token_budget=200)

    with pytest.raises(BudgetExceeded):
        scene.ask("more", max_tokens=5, episode_id="e")
    assert len(scene.kept()) == 1


def test_history_needs_a_session(scene: Scene) -> None:
    with pytest.raises(InvalidRequest, match="give a session_id"):
        scene.client.submit("hello", agent_id="a", history=True)


# What is kept


def test_a_turn_is_what_was_asked_and_answered(scene: Scene) -> None:
    first, second = scene.ask("hello"), scene.ask("[[mock say=yes]]")

    turns = scene.session.turns()

    assert [turn.job_id for turn in turns] == [first.job_id, second.job_id]
    assert [said(turn) for turn in turns] == [["hello", first.text], ["[[mock say=yes]]", "yes"]]
    assert [message.role for message in turns[0].messages] == ["user", "assistant"]


def test_a_finish_that_is_sent_twice_or_by_an_old_fence_adds_nothing(scene: Scene) -> None:
    job = scene.client.submit("hello", **ASKED)
    claim = attempts.claimed(scene.ledger, job.id)
    request = Request.model_validate_json(claim.request)
    turn = sessions.new_turn(job.id, request, "x", turns=9, size=999, retention_ms=1000)
    result = Result(job_id=job.id, state=State.SUCCEEDED, text="x", instance="inst0")

    def finish(fence: int) -> bool:
        return scene.ledger.run(jobs.finish(result, fence=fence, levels=(), turn=turn))

    assert [finish(claim.fence - 1), finish(claim.fence), finish(claim.fence)] == [
        False,
        True,
        True,
    ]
    assert scene.kept() == ["hello"]


def test_clearing_a_session_forgets_its_turns_and_system_text(scene: Scene) -> None:
    turns = ({"role": "system", "content": "Be terse."}, {"role": "user", "content": "hello"})
    scene.ask(messages=turns)

    assert scene.session.clear() is True
    assert scene.session.clear() is False
    assert scene.kept() == []
    assert mark_of("again") in scene.ask("again").text


# What bounds it


def test_a_session_keeps_the_latest_turns_up_to_their_number(scene: Scene) -> None:
    for number in range(5):
        scene.run(scene.client.submit(f"turn {number}", **ASKED), session_max_turns=3)

    assert scene.kept() == ["turn 2", "turn 3", "turn 4"]


def test_a_session_keeps_the_latest_turns_up_to_their_bytes(scene: Scene) -> None:
    for number in range(9):
        scene.run(scene.client.submit(f"turn {number}", **ASKED), session_max_bytes=1000)

    held: Any = scene.ledger.redis.hgetall(KEY)
    sizes = [len(value) for name, value in held.items() if name.isdigit()]
    assert int(held["bytes"]) == sum(sizes) <= 1000 < sum(sizes) + max(sizes)
    assert scene.kept()[-1] == "turn 8"


def test_a_turn_above_the_cap_empties_the_session_and_the_next_begins_anew(scene: Scene) -> None:
    scene.ask("hello")

    scene.run(scene.client.submit("x" * 2000, **ASKED), session_max_bytes=1000)
    assert scene.kept() == []

    scene.run(scene.client.submit("after", **ASKED), session_max_bytes=1000)
    assert scene.kept() == ["after"]


def test_an_idle_session_goes_after_its_retention(scene: Scene) -> None:
    scene.run(scene.client.submit("hello", **ASKED), session_retention_s=1000)

    left: Any = scene.ledger.redis.pttl(KEY)
    assert 990_000 < left <= 1_000_000


@pytest.mark.parametrize(
    "damage",
    [
        {"first": "no number"},
        {"first": "1"},
        {"next": "9" * 15},
        {"system": "no messages"},
    ],
)
def test_a_damaged_session_fails_the_job_with_a_sentence_and_can_be_cleared(
    scene: Scene, damage: dict[str, str]
) -> None:
    scene.ask("hello")
    scene.ledger.redis.hset(KEY, mapping=damage)

    with pytest.raises((CorruptEntry, JobFailed), match="damaged"):
        scene.ask("and so on?")
    assert scene.session.clear()
    assert scene.ask("again").state == "succeeded"


def test_a_session_that_is_damaged_while_a_job_runs_begins_anew_with_its_turn(
    scene: Scene,
) -> None:
    scene.ask("hello")

    class Damaging(MockBackend):
        def stream(self, run: Run) -> Iterator[Piece]:
            scene.ledger.redis.delete(KEY)
            scene.ledger.redis.set(KEY, "no session")
            return super().stream(run)

    job = scene.client.submit("again", **ASKED)
    scene.run(job, Damaging(scene.settings.instance("inst0"), scene.settings))

    assert job.result(timeout=5).state == "succeeded"
    assert scene.kept() == ["again"]


@pytest.mark.parametrize(("agent", "session"), [("", "s"), ("a", ""), ("a", "x" * 201)])
def test_a_session_that_cannot_be_is_refused(scene: Scene, agent: str, session: str) -> None:
    with pytest.raises(InvalidRequest):
        scene.client.session(agent, session)
