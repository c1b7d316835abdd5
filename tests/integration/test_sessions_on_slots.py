"""Turns of a session on an instance of several slots."""

from __future__ import annotations

import redis

from ledger import keys
from producer import LLMClient
from tests.conftest import StartWorkers
from tests.support.conversation import ASKED, first_digits, mark_of, said
from tests.support.gates import begun
from tests.support.waiting import eventually


def test_turns_that_are_sent_at_once_to_several_slots_follow_one_another(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    start_workers("inst0", env={"APEX_LLM_INSTANCES": '[{"name": "inst0", "slots": 3}]'})
    jobs = [client.submit(f"[[mock tokens=20 tps=100]] {n}", **ASKED) for n in range(5)]
    for job in jobs:
        job.result(timeout=20)

    turns = [said(turn) for turn in client.session("a", "s").turns()]

    assert len(turns) == 5
    for place, (prompt, answer) in enumerate(turns):
        before = [text for turn in turns[:place] for text in turn]
        assert first_digits(mark_of(*before, prompt)) == answer.partition("-")[0]


def test_a_turn_that_was_held_back_follows_one_whose_process_is_lost(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    start_workers("inst0", env={"APEX_LLM_INSTANCES": '[{"name": "inst0", "slots": 2}]'})
    hangs = client.submit("[[mock tokens=5 hang_at=1]]", **ASKED)
    begun(hangs)
    follows = client.submit("hello", **ASKED)
    eventually(lambda: held_back(client) == [follows.id])

    assert hangs.cancel() == "stopping"

    assert mark_of("hello") in follows.result(timeout=20).text


def held_back(client: LLMClient) -> list[str]:
    """The turns of inst0 that wait for another one."""
    with redis.Redis.from_url(client.settings.redis_url, decode_responses=True) as server:
        return server.zrange(keys.held_back("inst0"), 0, -1)
