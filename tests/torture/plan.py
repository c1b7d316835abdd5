"""What one run is: how many jobs and faults, in how long, drawn from which seed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from ledger.settings import Settings, load_settings

MOCK = "mock"
TENANTS = ("acme", "globex", "initech")
SCARCE = "globex"  # its budget does not reach for all that is asked in its name


@dataclass(frozen=True)
class Plan:
    """One run.

    ``model``: path of the tiny GGUF, '' where llama.cpp is not installed. ``only``: the kinds of
    faults; empty: all.
    """

    jobs: int
    faults: int
    seed: int
    seconds: float
    lease_s: float
    folder: Path
    url: str
    model: str = ""
    only: tuple[str, ...] = ()
    producers: int = 3
    mocks: int = 3

    def random(self, *whose: object) -> Random:
        """Random numbers of one part of the run, the same whenever it is asked for them."""
        return Random("/".join(map(str, (self.seed, *whose))))

    @property
    def instances(self) -> list[dict[str, Any]]:
        """The ``[[instances]]`` tables."""
        tables = [
            {"name": f"inst{number}", "backend": "mock", "model": MOCK}
            for number in range(self.mocks)
        ]
        if self.model:
            tables.append({"name": "llama0", "backend": "llama_cpp", "model": self.model})
        return tables

    @property
    def names(self) -> list[str]:
        """The instances' names."""
        return [table["name"] for table in self.instances]

    @property
    def env(self) -> dict[str, str]:
        """The settings of the workers."""
        return {
            "APEX_CONFIG": "",
            "APEX_LLM_INSTANCES": json.dumps(self.instances),
            "APEX_LEASE_S": str(self.lease_s),
            "APEX_MOCK_DIRECTIVES": "1",
            "APEX_LLM_CTX_TOKENS": "2048",
        }

    @property
    def settings(self) -> Settings:
        """The same, for clients."""
        return load_settings(env=self.env, redis_url=self.url)

    def share(self, producer: int) -> int:
        """How many of the jobs one producer submits."""
        return self.jobs // self.producers + (producer < self.jobs % self.producers)

    def journal(self, producer: int) -> Path:
        """Where a producer writes down what it was answered and what it read."""
        return self.folder / f"producer-{producer}.jsonl"

    @property
    def command(self) -> str:
        """What a person types to have this run again."""
        return (
            f"make torture JOBS={self.jobs} FAULTS={self.faults} SEED={self.seed} "
            f"SECONDS={self.seconds:g} LEASE={self.lease_s:g}"
            + (f" ONLY={','.join(self.only)!r}" if self.only else "")
        )
