"""One attempt at a job of inst0, call by call and without a process."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from ledger import jobs
from ledger.jobs import Claim, Control, Noop
from ledger.levels import Level
from ledger.messages import Event, Result, State
from ledger.redis_client import Ledger
from ledger.scripts import Call
from tests.support.registering import OWNER


def claim(
    job_id: str, *, lease_ms: int = 60_000, pid: int = 1, nonce: str = ""
) -> Call[Claim | Noop]:
    """The call that claims it, for a process with this pid."""
    return jobs.claim(
        job_id,
        instance="inst0",
        owner=OWNER,
        pid=pid,
        lease_ms=lease_ms,
        nonce=nonce or uuid.uuid4().hex,
    )


def claimed(ledger: Ledger, job_id: str, **options: Any) -> Claim:
    """The claim that it was given; ``options`` are those of :func:`claim`."""
    taken = ledger.run(claim(job_id, **options))
    assert isinstance(taken, Claim), taken
    return taken


def emit(
    claim: Claim,
    text: str = "x",
    *,
    chunk: int = 1,
    tokens: int = 1,
    prompt_tokens: int = 1,
    slots: int = 1,
    yields_to_bands_below: int = 0,
    **parts: Any,
) -> Call[Control]:
    """The call that sends a chunk of the answer; ``parts`` are further fields of its event."""
    return jobs.emit(
        claim.job_id,
        instance="inst0",
        fence=claim.fence,
        chunk=chunk,
        tokens=tokens,
        prompt_tokens=prompt_tokens,
        event=Event(kind="chunk", attempt=claim.fence, text=text, tokens=tokens, **parts),
        slots=slots,
        yields_to_bands_below=yields_to_bands_below,
    )


def requeue(claim: Claim, *, failed: bool, reason: str = "x", **options: Any) -> Call[str]:
    """The call that gives it back."""
    return jobs.requeue(
        claim.job_id,
        instance="inst0",
        fence=claim.fence,
        reason=reason,
        failed=failed,
        **options,
    )


def finish(claim: Claim, levels: Sequence[Level] = (), **fields: Any) -> Call[bool]:
    """The call that ends it well; ``fields`` are further ones of its record."""
    result = Result(job_id=claim.job_id, state=State.SUCCEEDED, instance="inst0", **fields)
    return jobs.finish(result, fence=claim.fence, levels=levels)
