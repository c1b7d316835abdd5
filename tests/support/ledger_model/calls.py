"""The calls of producers and workers, as they are sent."""

from __future__ import annotations

from ledger import instances, jobs
from ledger.instances import Descriptor
from ledger.jobs import Claim, Noop
from ledger.messages import Event, Result, State, Usage
from ledger.redis_client import Ledger
from tests.support.ledger_model.job import Job
from tests.support.registering import WAKEUP

LEASE_MS = 60_000


def text_for(claim: Claim, chunk: int) -> str:
    """A text that no other chunk has."""
    return f"{claim.fence}.{chunk} "


class Calls:
    """One method for each script; what is answered is looked at by whoever calls."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def register(self, name: str, slots: int, owner: str, gone_owner: str = "") -> None:
        self._ledger.run(
            instances.register(
                Descriptor(name=name, backend="mock", model="mock", slots=slots),
                owner=owner,
                node=f"{name}@nowhere",
                pid=1,
                wakeup=WAKEUP,
                grace_ms=3_600_000,
                gone_owner=gone_owner,
            )
        )

    def submit(self, job: Job, name: str, hold: int, room: int) -> str:
        return self._ledger.run(
            jobs.submit(
                job.id,
                job.request,
                instance=name,
                hold=hold,
                levels=job.levels,
                max_attempts=job.attempts,
                max_waiting=room,
            )
        )

    def claim(self, job_id: str, name: str, owner: str, pid: int, nonce: str) -> Claim | Noop:
        return self._ledger.run(
            jobs.claim(job_id, instance=name, owner=owner, pid=pid, lease_ms=LEASE_MS, nonce=nonce)
        )

    def emit(
        self, job: Job, claim: Claim, chunk: int, tokens: int, prompt: int, below: int, slots: int
    ) -> str:
        event = Event(kind="chunk", attempt=claim.fence, text=text_for(claim, chunk), tokens=tokens)
        return self._ledger.run(
            jobs.emit(
                job.id,
                instance=job.instance,
                fence=claim.fence,
                chunk=chunk,
                tokens=tokens,
                prompt_tokens=prompt,
                event=event,
                slots=slots,
                yields_to_bands_below=below,
            )
        )

    def hold(self, job: Job, claim: Claim, wanted: int, least: int) -> int | None:
        return self._ledger.run(
            jobs.hold(job.id, fence=claim.fence, wanted=wanted, least=least, levels=job.levels)
        )

    def requeue(self, job: Job, claim: Claim, failed: bool) -> str:
        return self._ledger.run(
            jobs.requeue(
                job.id,
                instance=job.instance,
                fence=claim.fence,
                reason="worker lost" if failed else "yield",
                failed=failed,
            )
        )

    def finish(self, job: Job, claim: Claim, state: State, prompt: int) -> bool:
        result = Result(
            job_id=job.id,
            state=state,
            text=job.text,
            usage=Usage(prompt_tokens=prompt, completion_tokens=job.made),
            instance=job.instance,
        )
        call = jobs.finish(result, fence=claim.fence, levels=job.levels, model="mock")
        return self._ledger.run(call)

    def cancel(self, job: Job, name: str) -> str:
        usage = Usage(prompt_tokens=job.prompt, completion_tokens=job.made)
        result = Result(job_id=job.id, state=State.CANCELLED, instance=name, usage=usage)
        return self._ledger.run(jobs.cancel(result, levels=job.levels))
