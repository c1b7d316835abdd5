"""The examples run as their first lines say."""

from __future__ import annotations

import json
import subprocess
import sys

from producer import LLMClient
from tests.conftest import StartWorkers
from tests.support.workers import ROOT, environment


def night(
    url: str, lines: list[dict[str, object]], *options: str
) -> tuple[int, list[dict[str, str]]]:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "night_batch.py"), *options],
        input="\n".join(json.dumps(line) for line in lines),
        env={**environment(url), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_a_night_batch_answers_in_order_and_again_without_spending_twice(
    client: LLMClient, redis_url: str, start_workers: StartWorkers
) -> None:
    start_workers("inst0")
    lines: list[dict[str, object]] = [
        {"agent_id": f"a{n}", "prompt": f"[[mock say=answer-{n}]]", "max_tokens": 8}
        for n in range(20)
    ]

    code, answers = night(redis_url, lines)

    assert code == 0
    assert [answer["text"] for answer in answers] == [f"answer-{n}" for n in range(20)]
    used = client.get_stats()["tokens_used"]
    assert night(redis_url, lines) == (0, answers)
    assert client.get_stats()["tokens_used"] == used


def test_a_night_batch_says_which_lines_its_budget_had_no_room_for(
    redis_url: str, start_workers: StartWorkers
) -> None:
    start_workers("inst0")
    lines: list[dict[str, object]] = [
        {"agent_id": "a", "prompt": "hello", "max_tokens": tokens} for tokens in (20, 9000)
    ]

    code, answers = night(redis_url, lines, "--tokens", "1000")

    assert code == 1
    assert "text" in answers[0]
    assert "episode:night has used" in answers[1]["error"]
