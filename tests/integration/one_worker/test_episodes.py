"""Episodes end in time: progress moves the end on, to the cap."""

from __future__ import annotations

import pytest

from ledger.messages import State
from ledger.settings import Settings, load_settings
from producer import DeadlineExceeded, EpisodeOver, InvalidRequest, Job, LLMClient
from tests.support.gates import begun
from tests.support.short_episodes import BASE_S, CAP_S, DRIPS, SMALL, over


@pytest.fixture(scope="module")
def worker_env() -> dict[str, str]:
    """Episodes of a second, of three with progress."""
    return SMALL


@pytest.fixture
def settings(redis_url: str) -> Settings:
    """The same for clients."""
    return load_settings(env=SMALL, redis_url=redis_url)


def ended(job: Job) -> DeadlineExceeded:
    with pytest.raises(DeadlineExceeded) as passed:
        job.result(timeout=15)
    return passed.value


def test_an_episode_whose_job_makes_tokens_lives_past_its_base_and_dies_at_the_cap(
    client: LLMClient,
) -> None:
    with client.episode("night-1") as episode:
        job = episode.submit(DRIPS, agent_id="a", max_tokens=2000)

        error = ended(job)

        assert (error.limit, error.scope, error.timeout_s) == ("episode", "episode:night-1", CAP_S)
        record = job.outcome()
        assert record.state is State.FAILED
        assert len(record.text.split()) > 20 * BASE_S  # more than the base has room for
        with pytest.raises(EpisodeOver, match="night-1"):
            episode.submit("hello", agent_id="a")


def test_an_episode_without_progress_dies_at_its_base_and_takes_a_hung_job_with_it(
    client: LLMClient,
) -> None:
    with client.episode("night-1") as episode:
        hung = episode.submit("[[mock first_ms=60000]]", agent_id="a")
        after = client.submit("hello", agent_id="a")  # of no episode

        error = ended(hung)

        assert (error.limit, error.timeout_s) == ("episode", BASE_S)
        assert "Episode night-1 is past its deadline, 1 s after it was opened" in str(error)
        assert after.result(timeout=10).text.startswith("Hello")
        assert episode.get_stats()["tokens_held"] == 0


def test_a_job_that_waits_longer_than_its_episode_lives_ends_before_a_token_is_made(
    client: LLMClient,
) -> None:
    busy = client.submit(DRIPS, agent_id="a", max_tokens=2000)
    begun(busy)
    with client.episode("night:1%") as episode:  # an id that a key has to escape
        late = episode.submit("hello", agent_id="a")
        over(episode)

        busy.cancel()

        assert ended(late).scope == "episode:night:1%"
        record = late.outcome()
        assert (record.state, record.text) == (State.FAILED, "")
        assert record.usage.total_tokens == 0


def test_an_episode_past_its_deadline_takes_no_more_jobs(client: LLMClient) -> None:
    with client.episode("short", timeout_s=0.001) as episode:
        over(episode)
        with pytest.raises(EpisodeOver, match="short"):
            episode.submit("hello", agent_id="a")
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


@pytest.mark.parametrize("kind", ["test_run", "tick", ""])
def test_what_is_no_progress_is_refused(client: LLMClient, kind: str) -> None:
    episode = client.episode("night-1")

    with pytest.raises(InvalidRequest, match="Known: tests_discovered, tests_run"):
        episode.progress(kind)
