"""A job of the model."""

from __future__ import annotations

from dataclasses import dataclass, field

from ledger.jobs import Claim
from ledger.levels import Level
from ledger.messages import Request, State


@dataclass
class Job:
    """What the ledger should know of a job."""

    id: str
    request: Request
    instance: str
    levels: list[Level]
    held: int
    attempts: int
    state: State = State.QUEUED
    fence: int = 0
    nonce: str = ""
    owner: str = ""
    stop: str = ""
    made: int = 0
    prompt: int = 0
    chunk: int = 0
    failures: int = 0
    delayed: bool = False  # it waits before its next attempt
    again: bool = False  # it was given back, or its wake-up pushed again: lists may be longer
    cost: int = 0
    text: str = ""
    kinds: list[str] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    record: str | None = None

    @property
    def band(self) -> int:
        return self.request.priority.band

    @property
    def claim(self) -> Claim:
        return self.claims[-1]
