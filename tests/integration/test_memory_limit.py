"""The bound on a process's memory: what goes past it fails, and the instance goes on."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

from ledger.errors import BackendError
from producer import LLMClient
from tests.conftest import ON_ONE_SERVER, StartWorkers
from tests.support.sentences import is_one_sentence

pytestmark = ON_ONE_SERVER


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux only")
def test_a_job_that_takes_too_much_memory_fails_and_the_next_one_runs(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    # Given
    (worker,) = start_workers("inst0", env={"APEX_MEMORY_LIMIT_MB": "300"})
    (child,) = psutil.Process(worker.process.pid).children()
    # When
    hungry = client.submit("[[mock tokens=3 eat_mb=400]]", agent_id="a")
    with pytest.raises(BackendError, match="raise APEX_MEMORY_LIMIT_MB") as caught:
        hungry.result(timeout=20)
    # Then
    assert is_one_sentence(caught.value)
    assert client.complete("hello", agent_id="a").text.startswith("Hello")
    assert psutil.Process(worker.process.pid).children() == [child]
    assert "Max data size             300000000" in Path(f"/proc/{child.pid}/limits").read_text()


def test_without_the_setting_there_is_no_bound(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    start_workers("inst0")
    assert client.complete("[[mock tokens=3 eat_mb=400]]", agent_id="a").attempt == 1
