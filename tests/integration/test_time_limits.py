"""What runs too long is ended, and says so."""

from __future__ import annotations

import pytest

from ledger.settings import load_settings
from producer import DeadlineExceeded, EpisodeOver, LLMClient
from tests.conftest import StartWorkers
from tests.support.waiting import eventually


def test_a_job_that_drips_past_its_time_fails_with_its_text_so_far(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    start_workers("inst0")
    job = client.submit("[[mock tokens=500 tps=50]]", agent_id="a", timeout_s=0.5)

    with pytest.raises(DeadlineExceeded, match=r"0\.5 s"):
        job.result(timeout=10)
    assert 5 < len(job.outcome().text.split()) < 100


def test_a_job_that_hangs_past_its_time_is_killed_and_the_next_one_runs(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    start_workers("inst0")
    hung = client.submit("[[mock tokens=9 tps=100 hang_at=3]]", agent_id="a", timeout_s=0.5)
    after = client.submit("hello", agent_id="b")

    with pytest.raises(DeadlineExceeded):
        hung.result(timeout=10)
    assert after.result(timeout=10).text.startswith("Hello")
    assert client.get_stats()["tokens_held"] == 0


def test_an_episode_past_its_deadline_takes_no_more_jobs(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    start_workers("inst0")
    with client.episode("short", timeout_s=0.001) as episode:
        with pytest.raises(EpisodeOver, match="short"):
            eventually(lambda: episode.submit("hello", agent_id="a") is None)
        with pytest.raises(EpisodeOver, match="short"):
            episode.progress("tests_run")


def test_progress_near_the_deadline_moves_it_never_past_the_cap(redis_url: str) -> None:
    settings = load_settings(
        env={},
        redis_url=redis_url,
        episode_timeout_s=60,
        progress_extend_s=120,
        episode_timeout_max_s=1000,
    )
    with LLMClient(settings) as client:
        near = client.episode("near")  # 60 s are left, less than an extension
        assert near.progress("file_written") == pytest.approx(120, abs=2)
        assert near.progress("tests_run") == pytest.approx(120, abs=2)
        capped = client.episode("capped", timeout_s=950)
        assert capped.progress("file_written") == pytest.approx(950, abs=2)  # not near yet
    with LLMClient(settings.model_copy(update={"progress_extend_s": 2000})) as eager:
        assert eager.episode("capped").progress("tests_run") == pytest.approx(1000, abs=2)
        assert eager.episode("capped").progress("tests_run") == pytest.approx(1000, abs=2)
