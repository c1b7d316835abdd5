"""A wake-up that somebody has taken."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WakeUp:
    """A message that was taken from one of Celery's lists."""

    instance: str
    band: int
    raw: str

    @property
    def job_id(self) -> str:
        return id_of(self.raw)


def id_of(raw: str) -> str:
    return raw.split('"')[3]
