"""What only workers on llama.cpp do: its own counts, its files, its options."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llama_cpp")

import llama_cpp

from ledger import keys
from ledger.redis_client import Ledger
from producer import ContextTooLong, InvalidRequest, LLMClient
from tests.conftest import ON_ONE_SERVER, StartWorkers
from tests.support import tiny_gguf
from tests.support.command import apexq
from tests.support.commands import celery
from tests.support.sentences import is_one_sentence
from tests.support.workers import Worker, child_of

pytestmark = ON_ONE_SERVER


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Two instances with the tiny model."""
    path = tiny_gguf.write(tmp_path_factory.mktemp("llama") / "tiny.gguf")
    return {
        "APEX_LLM_BACKEND": "llama_cpp",
        "APEX_GGUF_MODEL_PATH": str(path),
        "APEX_LLM_INSTANCES": "2",
        "APEX_LLM_CTX_TOKENS": "8192",
    }


def greedy(prompt: str, agent: str, **options: Any) -> dict[str, Any]:
    return {"prompt": prompt, "agent_id": agent, "temperature": 0, "max_tokens": 300, **options}


def test_token_counts_are_llama_cpps_own(
    client: LLMClient, start_workers: StartWorkers, env: dict[str, str]
) -> None:
    start_workers("inst0", env=env)
    own = llama_cpp.Llama(env["APEX_GGUF_MODEL_PATH"], vocab_only=True, verbose=False)
    for words in ("the thing and the other", "日本 🙂 \t Zürich", "<|end|>"):
        usage = client.complete(**greedy(words, "Planner", max_tokens=7)).usage

        read = f"<|user|>{words}<|end|><|assistant|>".encode()
        assert usage.prompt_tokens == len(own.tokenize(read, add_bos=True, special=True))
        assert usage.completion_tokens == 7
    own.close()


@pytest.mark.parametrize("history", [True, False])
def test_a_second_turn_of_a_session_reads_only_the_new_tokens(
    client: LLMClient, start_workers: StartWorkers, env: dict[str, str], history: bool
) -> None:
    # Given a first turn. These letters are part of no longer token, so the model reads its answer
    # as it made it.
    start_workers("inst0", env=env)
    letters = {"type": "grammar", "grammar": "root ::= [jklmqvwxyz]+"}
    no_bytes = {str(tiny_gguf.FIRST_BYTE + byte): -100.0 for byte in range(256)}
    options = {"session_id": "s1", "response_format": letters, "logit_bias": no_bytes}
    story = "once upon a time " * 20
    first = client.complete(**greedy(story, "Planner", history=history, **options))
    # When
    again = greedy("and what then?", "Planner", history=history, **options)
    if not history:
        turns = [("user", story), ("assistant", first.text), ("user", again.pop("prompt"))]
        again["messages"] = [{"role": role, "content": content} for role, content in turns]
    second = client.complete(**again)
    # Then its last token was made and never read
    known = first.usage.prompt_tokens + first.usage.completion_tokens - 1
    assert second.usage.cached_tokens == known
    assert second.usage.prompt_tokens - known < 25
    assert first.usage.cached_tokens == 0


def test_what_a_request_does_wrong_fails_that_job_alone(
    client: LLMClient, start_workers: StartWorkers, env: dict[str, str]
) -> None:
    start_workers("inst0", env=env)
    broken = {"type": "grammar", "grammar": "root :: x"}
    with pytest.raises(InvalidRequest, match="grammar does not parse"):
        client.complete(**greedy("hello", "Planner", response_format=broken))
    with pytest.raises(ContextTooLong):
        client.complete(**greedy("word " * 9000, "Planner"))

    assert client.complete(**greedy("hello", "Planner")).usage.completion_tokens == 300


def test_a_worker_whose_model_cannot_be_loaded_ends_and_the_status_says_why(
    redis_url: str, tmp_path: Path, env: dict[str, str]
) -> None:
    # Given
    good = Path(env["APEX_GGUF_MODEL_PATH"]).read_bytes()
    escape = tiny_gguf.write(
        tmp_path / "escape.gguf", chat_template="{{ ''.__class__.__mro__[1].__subclasses__() }}"
    )
    reasons = {
        "inst0": (good[:300_000], "not within the file bounds"),
        "inst1": (b"no model at all" * 999, "is not a GGUF file"),
        "inst2": (b"GGUF" + struct.pack("<I", 9) + good[8:], "is a GGUF file of version 9"),
        "inst3": (escape.read_bytes(), "chat template was stopped"),
    }
    workers = []
    for name, (data, _) in reasons.items():
        path = tmp_path / f"{name}.gguf"
        path.write_bytes(data)
        given = {**env, "APEX_GGUF_MODEL_PATH": str(path), "APEX_LLM_INSTANCES": "4"}
        workers.append(Worker(name, redis_url, tmp_path, given))
    # When
    codes = [worker.process.wait(60) for worker in workers]
    # Then
    assert codes == [os.EX_CONFIG] * 4
    shown = json.loads(apexq("status", "--json", url=redis_url).stdout)["instances"]
    assert {one["name"]: one["state"] for one in shown} == dict.fromkeys(reasons, "failed")
    for worker, one in zip(workers, shown, strict=True):
        assert reasons[one["name"]][1] in one["why"]
        assert one["why"] in worker.log
        assert "Traceback" not in worker.log


def test_a_worker_whose_file_ends_its_process_gives_up_and_says_so(
    redis_url: str, tmp_path: Path, env: dict[str, str], ledger: Ledger
) -> None:
    deadly = tiny_gguf.write(tmp_path / "deadly.gguf", kills=True)
    worker = Worker("inst0", redis_url, tmp_path, {**env, "APEX_GGUF_MODEL_PATH": str(deadly)})

    assert worker.process.wait(30) == os.EX_CONFIG, worker.log

    assert worker.log.count("could not load its model: its process ended 3 times") == 1
    entry = ledger.redis.hgetall(keys.entry("inst0"))
    assert entry["state"] == "failed"
    assert is_one_sentence(entry["why"])
    assert len(worker.log.splitlines()) < 60


def test_a_model_that_cannot_be_loaded_again_is_given_up(
    start_workers: StartWorkers, env: dict[str, str], tmp_path: Path
) -> None:
    model = tiny_gguf.write(tmp_path / "model.gguf")
    (worker,) = start_workers("inst0", env={**env, "APEX_GGUF_MODEL_PATH": str(model)})
    tiny_gguf.write(tmp_path / "deadly.gguf", kills=True).replace(model)

    child_of(worker.process.pid).kill()

    assert worker.process.wait(30) == os.EX_CONFIG, worker.log
    assert "could not load its model: its process ended 3 times" in worker.log


def test_a_worker_with_an_option_that_does_not_exist_does_not_start(
    redis_url: str, env: dict[str, str]
) -> None:
    table = {"name": "inst0", "backend": "llama_cpp", "n_gpu_layer": 1}
    refused = celery(
        redis_url,
        *("worker", "-Q", "inst0"),
        env={**env, "APEX_LLM_INSTANCES": json.dumps([table])},
    )

    assert refused.returncode == 1
    assert "no option 'n_gpu_layer'" in refused.stderr
    assert "Traceback" not in refused.stderr
