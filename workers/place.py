"""Where attempts are made."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.clock import Clock
from ledger.redis_client import Ledger
from ledger.settings import InstanceSpec, Settings
from workers.backends import Backend


@dataclass(frozen=True, slots=True)
class Place:
    """Where attempts are made: one instance, in one process."""

    ledger: Ledger
    backend: Backend
    spec: InstanceSpec
    settings: Settings
    clock: Clock
