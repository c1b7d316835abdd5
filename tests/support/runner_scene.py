"""A runner without Celery and without a process: its instance, its client and its mishaps."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ledger import jobs, keys, status, stream
from ledger.answer import text_of
from ledger.errors import RedisUnavailable
from ledger.messages import Event, Result, State
from ledger.redis_client import Ledger
from ledger.settings import Settings
from producer import Job, LLMClient
from tests.support import attempts
from tests.support.registering import OWNER, register
from tests.support.scripted import PROMPT_TOKENS, Letters
from tests.support.waiting import eventually
from workers.backends import Piece
from workers.runner import Outcome, Runner


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
        self,
        job: Job | str,
        backend: Any,
        ledger: Any = None,
        settings: Settings | None = None,
        instance: str = "inst0",
    ) -> tuple[Outcome, str]:
        runner = Runner(
            ledger or self.ledger,
            backend,
            self.settings.instance(instance),
            settings or self.settings,
            owner=OWNER,
            pid=os.getpid(),
        )
        return runner.run(job if isinstance(job, str) else job.id)

    def take(self, job: Job, nonce: str = "another") -> jobs.Claim:
        """Claims the job as another process would."""
        return attempts.claimed(self.ledger, job.id, nonce=nonce)

    def give_back(self, job: Job, failed: bool = True) -> None:
        """What is done for a process that is lost, or makes way."""
        fence = self.facts(job).fence
        call = jobs.requeue(
            job.id, instance="inst0", fence=fence, reason="worker lost", failed=failed
        )
        assert self.ledger.run(call) == "queued"

    def lose(self, job: Job, *pieces: Piece, prompt_tokens: int = PROMPT_TOKENS) -> None:
        """An attempt that makes these pieces and whose process is lost then."""
        claim = self.take(job)
        for number, piece in enumerate(pieces, start=1):
            call = attempts.emit(
                claim,
                piece.text,
                chunk=number,
                tokens=piece.tokens,
                prompt_tokens=prompt_tokens,
                logprobs=piece.logprobs,
                reasoning=piece.reasoning,
                tool_calls=piece.tool_calls,
            )
            assert self.ledger.run(call) == "go"
        self.give_back(job)

    def pop_urgent(self) -> None:
        """Takes the one URGENT wake-up from its list, as Celery does."""
        assert self.ledger.redis.rpop(keys.queue("inst0")) is not None

    def woken(self) -> list[str]:
        """The jobs whose wake-up was pushed."""
        return self.ledger.redis.zrange(keys.woken("inst0"), 0, -1)

    def paused(self) -> list[str]:
        """The jobs that wait for a time, not for their turn."""
        return self.ledger.redis.zrange(keys.DELAYED, 0, -1)

    def wake(self, job: Job) -> None:
        """What whoever repairs does once a job's pause is over."""
        assert self.ledger.run(jobs.wake(job.id, instance="inst0"))

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
        return text_of(self.events(job))

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


def yielding(scene: Scene, **changes: Any) -> tuple[Job, Letters]:
    """A LOW job, and a backend during which an URGENT one comes at the fourth letter."""
    job = scene.submit(**{"priority": "LOW", **changes})

    def urgent() -> None:
        scene.delivered(job, "abc")()
        scene.submit(agent_id="b", priority="URGENT")

    backend = Letters("abcdefgh")
    backend.at = {3: urgent, 4: backend.stopped}
    return job, backend
