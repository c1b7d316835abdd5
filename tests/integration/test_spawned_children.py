"""Children of a worker that are new processes and no forks, as on macOS."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import psutil

from ledger.redis_client import Ledger
from producer import LLMClient
from tests.conftest import ON_ONE_SERVER
from tests.support.gates import begun, pid_of
from tests.support.workers import working

pytestmark = ON_ONE_SERVER

SPAWNED = ("--pool-start-method", "spawn")


def test_a_job_runs_in_a_child_that_is_no_fork_and_in_the_next_one_when_it_is_killed(
    client: LLMClient, redis_url: str, tmp_path: Path
) -> None:
    with (
        working(redis_url, tmp_path, "inst0", arguments=SPAWNED),
        closing(Ledger(redis_url)) as ledger,
    ):
        # Given
        job = begun(client.submit("[[mock tokens=40 tps=20]]", agent_id="a"))
        child = psutil.Process(pid_of(ledger, job))
        assert "billiard.spawn" in " ".join(child.cmdline())
        # When
        child.kill()
        # Then
        result = job.result(timeout=60)
        assert result.attempt == 2
        assert result.usage.completion_tokens == 40
