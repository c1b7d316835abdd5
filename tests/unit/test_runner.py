"""The runner, without Celery: what becomes of a job, whatever its backend and its ledger do."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from budgets import hold_for
from ledger import jobs, keys, status, stream
from ledger.errors import BackendError, RedisUnavailable
from ledger.messages import Event, Request, Result, State, TokenLogprob
from ledger.redis_client import Ledger
from ledger.settings import Settings, load_settings
from producer import Job, LLMClient
from tests.support.damage import cut_request, no_request
from tests.support.registering import OWNER, register
from tests.support.sentences import is_one_sentence
from tests.support.waiting import eventually
from workers import persist
from workers.backends import Piece, Run
from workers.backends.base import Abilities
from workers.context import WorkerContext
from workers.lost import settle_lost
from workers.runner import Outcome, Runner

ALL_OPTIONS = frozenset(
    {
        "temperature",
        "top_p",
        "top_k",
        "stop",
        "seed",
        "logit_bias",
        "logprobs",
        "response_format",
        "tools",
    }
)
PROMPT_TOKENS = 3
SECRET = "the codeword is heliotrope"

Step = Piece | Callable[[], None] | BaseException


@dataclass
class Script:
    """A backend that does what it is told: yields pieces, calls functions, raises."""

    steps: list[Step]
    abilities: Abilities = field(
        default_factory=lambda: Abilities(continues=True, options=ALL_OPTIONS)
    )
    prompt_tokens: int = PROMPT_TOKENS
    runs: list[Run] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def load(self) -> None: ...
    def close(self) -> None: ...
    def health(self) -> str:
        return ""

    def count_tokens(self, request: Request) -> int:
        return self.prompt_tokens

    def stream(self, run: Run) -> Iterator[Piece]:
        self.runs.append(run)
        try:
            for step in self.steps:
                if isinstance(step, Piece):
                    yield step
                elif isinstance(step, BaseException):
                    raise step
                else:
                    step()
        finally:
            self.ended.set()


class Letters(Script):
    """A backend that continues: its answer is always the same letters, one token each.

    At a number ``at`` it calls a function first. After each ``burst`` it takes a breath.
    """

    def __init__(
        self, answer: str, at: dict[int, Callable[[], None]] | None = None, burst: int = 1000
    ) -> None:
        super().__init__([])
        self.answer, self.at, self.burst = answer, at or {}, burst

    def stream(self, run: Run) -> Iterator[Piece]:
        self.runs.append(run)
        for index in range(len(run.continue_from), len(self.answer)):
            self.at.pop(index, lambda: None)()
            yield Piece(self.answer[index])
            if index % self.burst == self.burst - 1:
                run.stop.wait(0.002)
        yield Piece("", 0, "stop")

    def stopped(self) -> None:
        """A step that waits until the run is told to stop."""
        assert self.runs[-1].stop.wait(10)


class Interposed:
    """A ledger with which something happens before or after it does what it is asked."""

    def __init__(
        self,
        ledger: Ledger,
        before: dict[str, Callable[[], None]] | None = None,
        lost: dict[str, int] | None = None,
    ) -> None:
        self._ledger, self.before, self._lost = ledger, before or {}, lost or {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def run(self, call: Any) -> Any:
        self.before.pop(call.script, lambda: None)()
        answer = self._ledger.run(call)
        if self._lost.get(call.script, 0) > 0:
            self._lost[call.script] -= 1
            raise RedisUnavailable(url="redis://nowhere", reason="the answer was lost")
        return answer


class Scene:
    """An instance without a worker, a client, and a runner for each wake-up."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.ledger = settings, Ledger(settings.redis_url)
        self.client = LLMClient(settings)
        register(self.ledger)

    def submit(self, **changes: Any) -> Job:
        return self.client.submit(**{"prompt": "hello", "agent_id": "a", **changes})

    def run(
        self, job: Job | str, backend: Any, ledger: Any = None, settings: Settings | None = None
    ) -> tuple[Outcome, str]:
        runner = Runner(
            ledger or self.ledger,
            backend,
            self.settings.instance("inst0"),
            settings or self.settings,
            owner=OWNER,
            pid=os.getpid(),
        )
        return runner.run(job if isinstance(job, str) else job.id)

    def take(self, job: Job, nonce: str = "another") -> jobs.Claim:
        """Claims the job as another process would."""
        claim = self.ledger.run(
            jobs.claim(job.id, instance="inst0", owner=OWNER, pid=1, lease_ms=60_000, nonce=nonce)
        )
        assert isinstance(claim, jobs.Claim)
        return claim

    def give_back(self, job: Job, claim: jobs.Claim, failed: bool = True) -> None:
        answer = self.ledger.run(
            jobs.requeue(
                job.id, instance="inst0", fence=claim.fence, reason="worker lost", failed=failed
            )
        )
        assert answer == "queued"

    def lose(self, job: Job, *pieces: Piece, prompt_tokens: int = PROMPT_TOKENS) -> None:
        """An attempt that makes these pieces and whose process is lost then."""
        claim = self.take(job)
        for number, piece in enumerate(pieces, start=1):
            event = Event(
                kind="chunk",
                attempt=claim.fence,
                text=piece.text,
                tokens=piece.tokens,
                logprobs=piece.logprobs,
            )
            word = self.ledger.run(
                jobs.emit(
                    job.id,
                    instance="inst0",
                    fence=claim.fence,
                    chunk=number,
                    tokens=piece.tokens,
                    prompt_tokens=prompt_tokens,
                    event=event,
                    slots=1,
                    yields_to_bands_below=0,
                )
            )
            assert word == "go"
        self.give_back(job, claim)

    def pop_urgent(self) -> None:
        """Takes the one URGENT wake-up from its list, as Celery does."""
        assert self.ledger.redis.rpop(keys.queue("inst0")) is not None

    def state(self, job: Job) -> State:
        return self.facts(job).state

    def facts(self, job: Job) -> status.JobFacts:
        entry = self.ledger.run(status.read_job(job.id))
        assert entry is not None
        return entry.facts

    def record(self, job: Job) -> Result:
        return job.outcome(timeout=5)

    def events(self, job: Job) -> list[Event]:
        return list(stream.replay(self.ledger, job.id))

    def text(self, job: Job) -> str:
        """What a reader of the stream has."""
        return stream.text_of(self.events(job))

    def delivered(self, job: Job, text: str) -> Callable[[], None]:
        """A step that waits until the stream has this text."""
        return lambda: (eventually(lambda: self.text(job) == text), None)[1]

    @property
    def charged(self) -> tuple[int, int]:
        """Tokens used and held by the tenant."""
        stats = self.client.get_stats()
        return stats["tokens_used"], stats["tokens_held"]

    def close(self) -> None:
        self.client.close()
        self.ledger.close()


@pytest.fixture
def scene(settings: Settings) -> Iterator[Scene]:
    scene = Scene(settings)
    yield scene
    scene.close()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persist, "RETRY_S", 0.01)


def pieces(*texts: str) -> list[Step]:
    return [Piece(text) for text in texts]


STOP = Piece("", 0, "stop")


# An answer that comes to its own end


def test_an_answer_is_streamed_recorded_and_charged(scene: Scene) -> None:
    job = scene.submit(max_tokens=10)

    outcome = scene.run(job, Script([*pieces("one", " two", " three"), STOP]))

    assert outcome == (Outcome.SUCCEEDED, "")
    record = scene.record(job)
    assert (record.text, record.finish_reason, record.state) == (
        "one two three",
        "stop",
        State.SUCCEEDED,
    )
    assert (record.usage.prompt_tokens, record.usage.completion_tokens) == (PROMPT_TOKENS, 3)
    assert (record.instance, record.attempt, record.error) == ("inst0", 1, None)
    assert scene.text(job) == record.text
    assert scene.events(job)[-1].kind == "end"
    assert scene.charged == (PROMPT_TOKENS + 3, 0)
    assert record.timings.ttft_ms is not None
    assert 0 <= record.timings.queued_ms <= record.timings.ttft_ms <= record.timings.total_ms


def test_an_answer_without_a_word_about_its_end_has_stopped(scene: Scene) -> None:
    job = scene.submit()

    assert scene.run(job, Script(pieces("a", "b")))[0] is Outcome.SUCCEEDED
    assert (scene.record(job).text, scene.record(job).finish_reason) == ("ab", "stop")


def test_an_empty_answer_succeeds(scene: Scene) -> None:
    job = scene.submit()

    assert scene.run(job, Script([]))[0] is Outcome.SUCCEEDED
    assert scene.record(job).text == ""
    assert scene.record(job).timings.ttft_ms is None
    assert scene.charged == (PROMPT_TOKENS, 0)


def test_text_that_stands_for_no_token_is_delivered_too(scene: Scene) -> None:
    job = scene.submit()

    scene.run(job, Script([Piece("a", 1), Piece("b", 0), Piece("", 2), Piece("c", 0, "stop")]))

    assert (scene.record(job).text, scene.record(job).usage.completion_tokens) == ("abc", 3)


# Wake-ups that do not apply


def test_a_wake_up_for_a_job_that_is_not_there_does_nothing(scene: Scene) -> None:
    assert scene.run("unheard-of", Script([])) == (Outcome.NOOP, "gone")


def test_a_wake_up_for_a_job_in_other_hands_does_nothing(scene: Scene) -> None:
    job = scene.submit()
    scene.take(job)

    backend = Script(pieces("x"))

    assert scene.run(job, backend) == (Outcome.NOOP, "running")
    assert backend.runs == []


def test_a_second_wake_up_for_a_job_that_ended_does_nothing(scene: Scene) -> None:
    job = scene.submit()
    scene.run(job, Script(pieces("a")))
    before = scene.events(job), scene.charged

    assert scene.run(job, Script(pieces("b"))) == (Outcome.NOOP, "succeeded")
    assert (scene.events(job), scene.charged) == before


def test_a_job_that_was_cancelled_while_it_waited_is_left_alone(scene: Scene) -> None:
    job = scene.submit()
    assert job.cancel() == "cancelled"

    assert scene.run(job, Script(pieces("a"))) == (Outcome.NOOP, "cancelled")


# Answers of the ledger that are lost


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("step", ["claim", "emit", "hold", "finish"])
def test_a_step_whose_answer_is_lost_is_done_once(scene: Scene, step: str, times: int) -> None:
    job = scene.submit(max_tokens=500)
    backend = Script([*pieces("a", "b", "c"), STOP], prompt_tokens=500)  # held less: a top-up

    outcome, _ = scene.run(job, backend, Interposed(scene.ledger, lost={step: times}))

    assert outcome is Outcome.SUCCEEDED
    assert len(backend.runs) == 1
    assert scene.text(job) == scene.record(job).text == "abc"
    assert scene.facts(job).fence == 1
    assert scene.charged == (503, 0)


def yielding(scene: Scene, **changes: Any) -> tuple[Job, Letters]:
    """A LOW job, and a backend during which an URGENT one comes at the fourth letter."""
    job = scene.submit(**{"priority": "LOW", **changes})

    def urgent() -> None:
        scene.delivered(job, "abc")()
        scene.submit(agent_id="b", priority="URGENT")

    backend = Letters("abcdefgh")
    backend.at = {3: urgent, 4: backend.stopped}
    return job, backend


def test_a_job_whose_hand_back_was_not_confirmed_waits_again(scene: Scene) -> None:
    job, backend = yielding(scene)

    scene.run(job, backend, Interposed(scene.ledger, lost={"requeue": 2}))

    assert scene.state(job) is State.QUEUED
    assert [event.kind for event in scene.events(job)].count("requeued") == 1
    scene.pop_urgent()
    assert scene.run(job, backend)[0] is Outcome.SUCCEEDED
    assert scene.record(job).text == "abcdefgh"


def test_a_job_whose_hand_back_was_not_confirmed_shows_as_given_back(scene: Scene) -> None:
    job, backend = yielding(scene)

    outcome, _ = scene.run(job, backend, Interposed(scene.ledger, lost={"requeue": 1}))

    assert outcome is Outcome.REQUEUED


# Making way


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


# Cancelling


def test_a_running_job_that_is_cancelled_keeps_what_it_made(scene: Scene) -> None:
    job = scene.submit()

    def cancel() -> None:
        scene.delivered(job, "ab")()
        assert job.cancel() == "stopping"

    backend = Script([*pieces("a", "b"), cancel, *pieces("c"), lambda: None, *pieces(*"defg")])

    outcome, why = scene.run(job, backend)

    assert outcome is Outcome.CANCELLED
    assert job.id in why
    record = scene.record(job)
    assert (record.state, record.finish_reason) == (State.CANCELLED, "cancelled")
    assert record.text == scene.text(job)
    assert record.text.startswith("abc")
    assert scene.charged == (PROMPT_TOKENS + len(record.text), 0)


def test_a_cancel_that_comes_while_a_job_makes_way_ends_it(scene: Scene) -> None:
    job, backend = yielding(scene)
    said = []
    ledger = Interposed(scene.ledger, before={"requeue": lambda: said.append(job.cancel())})

    scene.run(job, backend, ledger)

    assert said == ["stopping"]
    assert scene.state(job) is State.CANCELLED


def test_a_backend_that_breaks_off_with_an_error_when_it_is_stopped_was_stopped(
    scene: Scene,
) -> None:
    job = scene.submit()
    backend = Script([])

    def cancel_and_wait() -> None:
        job.cancel()

    def interrupted() -> None:
        assert backend.runs[0].stop.wait(10)

    backend.steps = [cancel_and_wait, Piece("a"), interrupted, ConnectionError("stream was closed")]

    assert scene.run(job, backend)[0] is Outcome.CANCELLED


# Out of time


def test_a_job_past_its_deadline_fails_and_keeps_what_it_made(scene: Scene) -> None:
    job = scene.submit(timeout_s=0.001)

    def late() -> None:
        eventually(lambda: scene.facts(job).now_ms > scene.facts(job).deadline_ms)

    backend = Script([late, Piece("a"), scene.delivered(job, "a"), *pieces("b", "c"), STOP])

    outcome, why = scene.run(job, backend)

    assert outcome is Outcome.FAILED
    record = scene.record(job)
    assert record.error is not None
    assert (record.error["code"], record.error["message"]) == ("deadline_exceeded", why)
    assert record.text == scene.text(job)
    assert record.text.startswith("a")
    assert scene.charged == (PROMPT_TOKENS + len(record.text), 0)


def test_a_job_that_is_complete_at_its_deadline_succeeds(scene: Scene) -> None:
    job = scene.submit(timeout_s=0.001)

    def late() -> None:
        eventually(lambda: scene.facts(job).now_ms > scene.facts(job).deadline_ms)

    assert scene.run(job, Script([late, Piece("all", 1, "stop")]))[0] is Outcome.SUCCEEDED
    assert scene.record(job).text == "all"


# Out of tokens


def test_an_answer_ends_at_max_tokens(scene: Scene) -> None:
    job = scene.submit(max_tokens=3)
    backend = Script(pieces(*"abcdefgh"))

    assert scene.run(job, backend)[0] is Outcome.SUCCEEDED
    assert backend.runs[0].max_tokens == 3
    record = scene.record(job)
    assert (record.text, record.finish_reason) == ("abc", "length")
    assert record.usage.completion_tokens == 3


def test_an_answer_in_pieces_of_several_tokens_stays_within_max_tokens(scene: Scene) -> None:
    job = scene.submit(max_tokens=3)

    scene.run(job, Script([Piece("ab", 2), scene.delivered(job, "ab"), Piece("cd", 2)]))

    assert scene.record(job).usage.completion_tokens <= 3


def test_what_fits_the_budget_is_delivered_whatever_it_is_joined_with(scene: Scene) -> None:
    # Given room for four tokens, and pieces that are joined while a chunk is in flight
    hold = hold_for(Request(prompt="hello", agent_id="a", max_tokens=4))
    scene.client.episode("e", token_budget=hold)
    job = scene.submit(max_tokens=4, episode_id="e")
    slow = Interposed(scene.ledger)
    backend = Script([], prompt_tokens=hold - 4)
    backend.steps = [
        Piece("a"),
        lambda: slow.before.update(emit=backend.ended.wait),
        Piece("b"),
        Piece("c"),
        Piece("de", 2),
    ]

    # When
    scene.run(job, backend, slow)

    # Then
    assert scene.record(job).text == "abc"


def test_a_prompt_longer_than_was_held_is_topped_up(scene: Scene) -> None:
    job = scene.submit(max_tokens=10)
    backend = Script(pieces("a"), prompt_tokens=5000)

    assert scene.run(job, backend)[0] is Outcome.SUCCEEDED
    assert backend.runs[0].max_tokens == 10
    assert scene.charged == (5001, 0)


def test_a_top_up_that_the_budget_cuts_short_cuts_the_answer(scene: Scene) -> None:
    scene.client.episode("e", token_budget=1000)
    job = scene.submit(max_tokens=100, episode_id="e")
    backend = Script(pieces(*"abcdefgh"), prompt_tokens=995)

    assert scene.run(job, backend)[0] is Outcome.SUCCEEDED
    assert backend.runs[0].max_tokens == 5
    assert (scene.record(job).text, scene.record(job).finish_reason) == ("abcde", "length")
    assert scene.charged == (1000, 0)


def test_a_prompt_that_no_budget_covers_is_denied_before_a_token_is_made(scene: Scene) -> None:
    scene.client.episode("e", token_budget=1000)
    job = scene.submit(max_tokens=100, episode_id="e")
    backend = Script(pieces("a"), prompt_tokens=1000)

    outcome, why = scene.run(job, backend)

    assert outcome is Outcome.FAILED
    assert "episode:e has used 0 and holds 0 of 1,000 tokens; 1,001 more do not fit." in why
    assert backend.runs == []
    assert scene.charged == (0, 0)


# The window


def test_a_prompt_that_fills_the_window_fails(scene: Scene) -> None:
    job = scene.submit()
    backend = Script(pieces("a"), abilities=Abilities(window=PROMPT_TOKENS))

    outcome, why = scene.run(job, backend)

    assert outcome is Outcome.FAILED
    assert "The prompt has 3 tokens and the window 3" in why
    error = scene.record(job).error
    assert error is not None
    assert error["code"] == "context_too_long"
    assert backend.runs == []
    assert scene.charged == (0, 0)


def test_the_answer_gets_what_the_window_leaves(scene: Scene) -> None:
    job = scene.submit(max_tokens=100)
    backend = Script(pieces(*"abcdefgh"), abilities=Abilities(window=PROMPT_TOKENS + 5))

    scene.run(job, backend)

    assert backend.runs[0].max_tokens == 5
    assert (scene.record(job).text, scene.record(job).finish_reason) == ("abcde", "length")


def test_an_answer_that_goes_on_gets_what_prompt_and_text_leave_of_the_window(
    scene: Scene,
) -> None:
    job = scene.submit(max_tokens=100)
    scene.lose(job, Piece("abc", 3))
    backend = Script(
        pieces(*"defgh"), abilities=Abilities(continues=True, window=PROMPT_TOKENS + 5)
    )

    scene.run(job, backend)

    assert backend.runs[0].max_tokens == 2


# Waited for too long


def test_a_job_that_waited_past_its_limit_expires_before_a_token_is_made(scene: Scene) -> None:
    job = scene.submit(queue_timeout_s=0.001)
    eventually(lambda: scene.facts(job).now_ms > scene.facts(job).submitted_ms + 1)
    backend = Script(pieces("a"))

    outcome, why = scene.run(job, backend)

    assert outcome is Outcome.EXPIRED
    assert "its 0.001 s; raise queue_timeout_s" in why
    assert backend.runs == []
    assert scene.state(job) is State.EXPIRED
    assert scene.charged == (0, 0)


def test_a_job_that_was_served_in_time_does_not_expire_when_it_has_made_way(scene: Scene) -> None:
    job, backend = yielding(scene, queue_timeout_s=60)
    scene.run(job, backend)
    request = scene.ledger.redis.get(keys.request(job.id))
    shorter = str(request).replace('"queue_timeout_s":60.0', '"queue_timeout_s":0.001')
    scene.ledger.redis.set(keys.request(job.id), shorter)

    assert scene.run(job, backend)[0] in (Outcome.SUCCEEDED, Outcome.REQUEUED)


# Stopped from outside: the guardian told the ledger why before it ended the process


@pytest.mark.parametrize("limit", ["first_token_timeout_s", "token_timeout_s"])
def test_a_job_whose_process_was_ended_for_a_limit_fails_with_it(
    scene: Scene, parent: WorkerContext, limit: str
) -> None:
    job = scene.submit(max_tokens=10, **{limit: 7})
    claim = scene.take(job)
    assert scene.ledger.run(jobs.stop(job.id, fence=claim.fence, why=limit))

    ended, why = settle_lost(parent, job.id)

    assert ended
    assert f"7 s; raise {limit}" in why
    assert scene.state(job) is State.FAILED
    assert scene.charged == (0, 0)


def test_a_job_that_is_told_of_its_limit_and_still_makes_a_token_ends_with_it(
    scene: Scene,
) -> None:
    job = scene.submit(max_tokens=10, token_timeout_s=7)

    def stop() -> None:
        fence = scene.facts(job).fence
        assert scene.ledger.run(jobs.stop(job.id, fence=fence, why="token_timeout_s"))

    outcome, why = scene.run(
        job, Script([Piece("a"), scene.delivered(job, "a"), stop, Piece("b"), Piece("c")])
    )

    assert outcome is Outcome.FAILED
    assert "No further token came within 7 s" in why
    assert scene.record(job).text.startswith("ab")


def test_a_job_is_not_stopped_under_a_fence_that_it_no_longer_has(scene: Scene) -> None:
    job = scene.submit()
    claim = scene.take(job)
    scene.give_back(job, claim)

    assert not scene.ledger.run(jobs.stop(job.id, fence=claim.fence, why="timeout_s"))
    assert scene.facts(job).stop == ""


# An episode's tokens come to their end


def lows(scene: Scene, job: Job) -> list[tuple[int, int]]:
    """Tokens spent and limit, as readers of the job are told."""
    found = [event for event in scene.events(job) if event.kind == "budget_low"]
    return [(event.used, event.limit) for event in found]


def letter_by_letter(scene: Scene, job: Job, text: str) -> Script:
    """A backend whose letters are in the stream one by one."""
    steps: list[Step] = []
    for number, letter in enumerate(text, start=1):
        steps += [Piece(letter), scene.delivered(job, text[:number])]
    return Script(steps)


def test_readers_are_told_once_that_an_episodes_budget_is_low(scene: Scene) -> None:
    # Given an episode in which a job has spent 3 + 7 tokens, and another of the same
    hold = hold_for(Request(prompt="hello", agent_id="a", max_tokens=10))
    episode = scene.client.episode("e", token_budget=10 + hold)  # 97, of which 80 % are 77.6
    first = scene.submit(max_tokens=10, episode_id="e")
    scene.run(first, letter_by_letter(scene, first, "abcdefg"))
    assert episode.get_stats()["budget_low"] is False
    job = scene.submit(max_tokens=10, episode_id="e")
    backend = letter_by_letter(scene, job, "abcde")
    backend.prompt_tokens = 66

    # When
    scene.run(job, backend)

    # Then
    assert lows(scene, first) == []
    assert lows(scene, job) == [(78, 97)]
    kinds = [event.kind for event in scene.events(job)]
    assert kinds == ["chunk"] * 2 + ["budget_low"] + ["chunk"] * 3 + ["end"]
    assert [event.seq for event in scene.events(job)] == list(range(1, 8))
    assert episode.get_stats()["budget_low"] is True


def test_the_tokens_of_jobs_that_still_run_count_too(scene: Scene) -> None:
    scene.client.episode("e", token_budget=1000)
    other = scene.submit(max_tokens=10, episode_id="e")
    job = scene.submit(max_tokens=10, episode_id="e")
    backend = letter_by_letter(scene, job, "abc")
    backend.prompt_tokens = 200

    def other_reads_much() -> None:
        long = letter_by_letter(scene, other, "a")
        long.prompt_tokens = 600
        scene.run(other, long)

    backend.steps.insert(2, other_reads_much)
    scene.run(job, backend)

    assert lows(scene, other) == [(802, 1000)]  # 601 of its own, 201 of the one that runs
    assert lows(scene, job) == [(803, 1000)]


def test_who_streams_the_text_is_not_disturbed(scene: Scene) -> None:
    scene.client.episode("e", token_budget=1000)
    job = scene.submit(max_tokens=100, episode_id="e")
    backend = letter_by_letter(scene, job, "abc")
    backend.prompt_tokens = 900
    scene.run(job, backend)

    heard = list(job.stream(timeout_s=5))

    assert "".join(event.text for event in heard) == "abc"
    assert [event.kind for event in heard].count("budget_low") == 1


def test_a_further_attempt_does_not_tell_it_again(scene: Scene) -> None:
    scene.client.episode("e", token_budget=1000)
    job = scene.submit(max_tokens=100, episode_id="e", priority="LOW")

    def urgent() -> None:
        scene.delivered(job, "abc")()
        scene.submit(agent_id="b", priority="URGENT")

    backend = Letters("abcdefgh")
    backend.prompt_tokens = 900
    backend.at = {3: urgent, 4: backend.stopped}
    while scene.run(job, backend)[0] is Outcome.REQUEUED:
        assert len(backend.runs) < 20

    assert len(backend.runs) > 1
    assert scene.record(job).text == "abcdefgh"
    assert len(lows(scene, job)) == 1


def test_an_answer_that_its_episodes_last_tokens_cut_short_lands_softly(scene: Scene) -> None:
    # Given room for the prompt and ten tokens
    episode = scene.client.episode("e", token_budget=1000)
    job = scene.submit(max_tokens=100, episode_id="e")
    backend = letter_by_letter(scene, job, "abcdefghijkl")
    backend.prompt_tokens = 990

    # When
    outcome = scene.run(job, backend)

    # Then
    assert outcome == (Outcome.SUCCEEDED, "")
    record = scene.record(job)
    assert (record.text, record.finish_reason) == ("abcdefghij", "length")
    assert scene.text(job) == record.text
    assert lows(scene, job) == [(991, 1000)]  # with the first token, and not again
    assert episode.get_stats()["budget_low"] is True


# Further attempts


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
        claim = scene.facts(job)
        answer = scene.ledger.run(
            jobs.requeue(
                job.id, instance="inst0", fence=claim.fence, reason="worker lost", failed=True
            )
        )
        assert answer == "queued"
        scene.take(job)

    zombie = Script([Piece("a"), lose, Piece("b"), Piece("c"), STOP])

    assert scene.run(job, zombie) == (Outcome.NOOP, "fenced")
    assert scene.text(job) == "a"
    assert scene.state(job) is State.RUNNING


# Backends that fail


def test_a_backend_that_says_why_it_failed_is_quoted(scene: Scene) -> None:
    job = scene.submit()
    error = BackendError("The server said 503.", backend="mock", retriable=False)

    outcome = scene.run(job, Script([*pieces("a", "b"), error]))

    assert outcome == (Outcome.FAILED, "The server said 503.")
    record = scene.record(job)
    assert (record.text, record.finish_reason) == ("ab", "error")
    assert record.text == scene.text(job)
    assert record.error is not None
    assert record.error["code"] == "backend_error"
    assert scene.charged == (PROMPT_TOKENS + 2, 0)


@pytest.mark.parametrize(
    "error", [ValueError("bad"), MemoryError(), RuntimeError(), KeyError("k"), OSError("x")]
)
def test_whatever_a_backend_raises_fails_the_job(scene: Scene, error: Exception) -> None:
    job = scene.submit()

    outcome, why = scene.run(job, Script([Piece("a"), error]))

    assert outcome is Outcome.FAILED
    assert type(error).__name__ in why
    assert scene.state(job) is State.FAILED
    assert scene.record(job).text == "a"


def test_a_backend_that_cannot_count_fails_the_job(scene: Scene) -> None:
    class Dumb(Script):
        def count_tokens(self, request: Request) -> int:
            raise ValueError("no tokenizer")

    job = scene.submit()

    outcome, why = scene.run(job, Dumb(pieces("a")))

    assert outcome is Outcome.FAILED
    assert "no tokenizer" in why
    assert scene.charged == (0, 0)


def test_what_a_library_says_is_cut_to_a_sentence(scene: Scene) -> None:
    job = scene.submit()
    error = RuntimeError("CUDA error\n  at line 1\n  " + "x" * 10_000)

    scene.run(job, Script([error]))

    with pytest.raises(BackendError) as said:
        job.result(timeout=5)
    assert is_one_sentence(said.value)


# Processes that are lost


@pytest.fixture
def parent(scene: Scene) -> WorkerContext:
    """The process that is told when one of its children is gone."""
    return WorkerContext(scene.settings, scene.settings.instance("inst0"), OWNER, scene.ledger)


def test_a_job_whose_process_is_lost_gets_its_next_attempt(
    scene: Scene, parent: WorkerContext
) -> None:
    job = scene.submit(max_tokens=10)
    scene.take(job)

    assert settle_lost(parent, job.id)[0] is False

    assert (scene.state(job), scene.facts(job).failures) == (State.QUEUED, 1)
    assert scene.run(job, Letters("abc"))[0] is Outcome.SUCCEEDED
    assert scene.record(job).attempt == 2


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(SystemExit(-241), id="SIGTERM"),
        pytest.param(SystemExit(3), id="sys.exit"),
        pytest.param(KeyboardInterrupt(), id="SIGINT"),
    ],
)
def test_a_process_that_is_told_to_end_leaves_its_job_to_the_next_attempt(
    scene: Scene, parent: WorkerContext, said: BaseException
) -> None:
    job = scene.submit(max_tokens=10)

    with pytest.raises(type(said)):
        scene.run(job, Script([*pieces(*"abc"), said]))

    assert settle_lost(parent, job.id)[0] is False
    assert scene.run(job, Letters("abcdef"))[0] is Outcome.SUCCEEDED
    assert scene.record(job).text == scene.text(job) == "abcdef"
    assert scene.record(job).attempt == 2


def test_a_job_that_was_lost_too_often_is_dead(scene: Scene, parent: WorkerContext) -> None:
    job = scene.submit(max_tokens=10)
    for attempt in range(1, scene.settings.max_attempts + 1):
        scene.take(job, nonce=f"attempt {attempt}")
        ended, why = settle_lost(parent, job.id)

    assert ended
    assert scene.state(job) is State.DEAD
    assert "after 3 attempts" in why
    assert scene.charged == (0, 0)


def test_a_cancelled_job_whose_process_is_lost_keeps_what_it_made(
    scene: Scene, parent: WorkerContext
) -> None:
    job = scene.submit(max_tokens=10)
    scene.lose(job, Piece("abc", 3))
    scene.take(job)
    assert job.cancel() == "stopping"

    assert settle_lost(parent, job.id)[0] is True

    assert (scene.record(job).state, scene.record(job).text) == (State.CANCELLED, "abc")
    assert scene.charged == (PROMPT_TOKENS + 3, 0)


def test_a_job_past_its_deadline_whose_process_is_lost_fails(
    scene: Scene, parent: WorkerContext
) -> None:
    job = scene.submit(timeout_s=0.001)
    scene.take(job)
    eventually(lambda: scene.facts(job).now_ms > scene.facts(job).deadline_ms)

    assert settle_lost(parent, job.id)[0] is True

    assert scene.state(job) is State.FAILED


def test_a_job_that_ended_or_is_another_workers_is_left_alone(
    scene: Scene, parent: WorkerContext
) -> None:
    ended, taken = scene.submit(), scene.submit()
    scene.run(ended, Script(pieces("a")))
    scene.take(taken)
    other = WorkerContext(parent.settings, parent.spec, "another", scene.ledger)
    before = [scene.facts(ended).state, scene.facts(taken).fence]

    for job in (ended, taken):
        assert settle_lost(other, job.id)[0] is False

    assert [scene.facts(ended).state, scene.facts(taken).fence] == before
    assert scene.state(taken) is State.RUNNING


def test_a_job_whose_process_is_lost_before_the_claim_is_woken_again(
    scene: Scene, parent: WorkerContext
) -> None:
    # Given a wake-up that a child has taken
    job = scene.submit()
    normal = f"{keys.queue('inst0')}{keys.PRIORITY_SEPARATOR}6"
    assert job.id in scene.ledger.redis.rpop(normal)

    # When
    settle_lost(parent, job.id)

    # Then
    assert job.id in "".join(scene.ledger.redis.lrange(normal, 0, -1))


# Requests that cannot be served


@pytest.mark.parametrize("damage", [cut_request, no_request], ids=["cut", "gone"])
def test_a_damaged_request_fails_and_gives_back_what_it_held(scene: Scene, damage: Any) -> None:
    job = scene.submit(session_id="s", episode_id="e")
    damage(scene.ledger.redis, job.id)
    backend = Script(pieces("a"))

    outcome, why = scene.run(job, backend)

    assert outcome is Outcome.FAILED
    assert f"The ledger entry of job {job.id} is damaged" in why
    error = scene.record(job).error
    assert error is not None
    assert error["code"] == "corrupt_entry"
    assert backend.runs == []
    assert scene.charged == (0, 0)
    for name in scene.ledger.redis.scan_iter(keys.budget("*")):
        assert scene.ledger.redis.hget(name, "held") == "0", name


GIVEN: dict[str, Any] = {
    "temperature": 0.5,
    "top_p": 0.5,
    "top_k": 4,
    "stop": ("x",),
    "seed": 7,
    "logit_bias": {"1": 2.0},
    "logprobs": 2,
    "response_format": {"type": "json_object"},
    "tools": [{"type": "function"}],
}


@pytest.mark.parametrize("option", GIVEN)
def test_an_option_that_the_backend_lacks_is_refused_by_name(scene: Scene, option: str) -> None:
    job = scene.submit(**{option: GIVEN[option]})
    backend = Script(pieces("a"), abilities=Abilities(options=ALL_OPTIONS - {option}))

    outcome, why = scene.run(job, backend)

    assert outcome is Outcome.FAILED
    assert f"does not have {option};" in why
    error = scene.record(job).error
    assert error is not None
    assert error["code"] == "invalid_request"
    assert backend.runs == []


@pytest.mark.parametrize("option", [{"temperature": 0}, {"seed": 0}], ids=str)
def test_zero_is_a_value_of_an_option(scene: Scene, option: dict[str, Any]) -> None:
    job = scene.submit(**option)

    outcome, _ = scene.run(job, Script(pieces("a"), abilities=Abilities()))

    assert outcome is Outcome.FAILED


def test_options_that_are_not_given_are_not_refused(scene: Scene) -> None:
    assert scene.run(scene.submit(), Script([], abilities=Abilities()))[0] is Outcome.SUCCEEDED


# Logs


def test_prompts_and_answers_stay_out_of_the_logs(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = [Piece("the answer is hippopotamus")]
    scene.client.episode("e", token_budget=1000)
    long = scene.submit(prompt=SECRET, episode_id="e")
    cut = scene.submit(prompt=SECRET)
    cut_request(scene.ledger.redis, cut.id)

    scene.run(scene.submit(prompt=SECRET), Script(list(answer)))
    scene.run(long, Script(list(answer), prompt_tokens=2000))
    scene.run(cut, Script(list(answer)))
    scene.run(scene.submit(prompt=SECRET), Script([*answer, ValueError("bad")]))
    scene.run(scene.submit(prompt=SECRET, stop="x"), Script([], abilities=Abilities()))
    scene.run(
        scene.submit(prompt=SECRET),
        Script(list(answer)),
        Interposed(scene.ledger, lost={"emit": 1}),
    )

    assert caplog.text
    assert "heliotrope" not in caplog.text
    assert "hippopotamus" not in caplog.text


def test_prompts_are_logged_for_whoever_asks_for_it(
    redis_url: str, scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    asked = load_settings(env={}, redis_url=redis_url, log_prompts=True)

    scene.run(scene.submit(prompt=SECRET), Script([]), settings=asked)

    assert "heliotrope" in caplog.text
