"""Each command run for real, as a user runs it; those that start things are in test_cli_stack."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from producer import LLMClient
from producer.cli.main import cli
from producer.local import LocalStack
from tests.support import gguf_header
from tests.support.command import DONE_S, apexq, assert_one_line, read, started
from tests.support.gates import begun
from tests.support.held_replies import held_replies

UNREACHABLE = "redis://127.0.0.1:1/0"


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    """Two instances whose mock obeys directives."""
    env = {**os.environ, "APEX_MOCK_DIRECTIVES": "1", "APEX_CONFIG": ""}
    with LocalStack(instances=2, env=env) as stack:
        yield stack


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory without a stack and without an apexq.toml."""
    monkeypatch.chdir(tmp_path)


# --- ask


def test_ask_prints_the_answer(stack: LocalStack) -> None:
    done = apexq("ask", "hello", url=stack.redis_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Hello, how can I help you today? [context ")
    assert done.stdout.endswith("]\n")


def test_ask_passes_its_options_on(stack: LocalStack) -> None:
    options = {
        "--agent": "Coder",
        "--session": "s1",
        "--episode": "e1",
        "--tenant": "acme",
        "--priority": "urgent",
        "--max-tokens": "3",
        "--model": "mock",
        "--temperature": "0",
        "--timeout": "30",
    }
    flags = [part for pair in options.items() for part in pair]
    done = apexq("ask", "hello", *flags, "--json", url=stack.redis_url)
    record = json.loads(done.stdout)
    assert done.returncode == 0
    assert (record["text"], record["finish_reason"]) == ("Hello, how can", "length")
    assert record["instance"] == "inst1"  # the Coder's
    with LLMClient(stack.settings, tenant="acme") as client:
        assert client.get_stats()["tokens_used"] == 4
        assert client.episode("e1").get_stats()["tokens_used"] == 4


def test_ask_says_when_an_answer_was_cut_off(stack: LocalStack) -> None:
    done = apexq("ask", "hello", "--max-tokens", "3", url=stack.redis_url)
    assert (done.returncode, done.stdout) == (0, "Hello, how can\n")
    assert_one_line(done.stderr, "--max-tokens allows more")


def test_ask_reads_standard_input(stack: LocalStack) -> None:
    done = apexq("ask", "-", "--json", stdin="hello\nyou", url=stack.redis_url)
    assert json.loads(done.stdout)["usage"]["prompt_tokens"] == 2


def test_ask_streams_and_ctrl_c_cancels_the_job(stack: LocalStack) -> None:
    with started("ask", "[[mock tokens=2000 tps=50]]", url=stack.redis_url) as process:
        assert read(process, "-1 ")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=DONE_S)
    assert process.returncode == 130
    assert_one_line(err.strip() + "\n", "is cancelled.")
    job_id = err.partition("job ")[2].split()[0]
    with LLMClient(stack.settings) as client:
        assert client.job(job_id).outcome(timeout=DONE_S).state == "cancelled"


def test_ctrl_c_before_redis_has_answered_the_submit_cancels_the_job(stack: LocalStack) -> None:
    with LLMClient(stack.settings) as client:
        client.complete("hello", agent_id="a")  # from now on Redis has the script
    with (
        held_replies(stack.redis_url, "submit") as way,
        started("ask", "[[mock tokens=2000 tps=50]]", url=way.url) as process,
    ):
        assert way.held.wait(DONE_S)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=DONE_S)
    assert process.returncode == 130
    assert_one_line(err.strip() + "\n", "is cancelled.")
    job_id = err.partition("job ")[2].split()[0]
    with LLMClient(stack.settings) as client:
        assert client.job(job_id).outcome(timeout=DONE_S).state == "cancelled"


def test_ask_keeps_to_one_instance_and_reads_the_sessions_turns(stack: LocalStack) -> None:
    ask = ("ask", "hello", "--session", "told", "--history", "--instance", "inst1", "--json")
    first, second = (json.loads(apexq(*ask, url=stack.redis_url).stdout) for _ in range(2))
    assert (first["instance"], second["instance"]) == ("inst1", "inst1")
    assert second["usage"]["prompt_tokens"] > first["usage"]["prompt_tokens"]
    refused = apexq("ask", "hello", "--instance", "inst9", url=stack.redis_url)
    assert refused.returncode == 4
    assert_one_line(refused.stderr, "There is no instance 'inst9'; registered: inst0, inst1")


def test_ask_gives_up_in_time_and_cancels_the_job(stack: LocalStack) -> None:
    done = apexq("ask", "[[mock tokens=9 tps=1]]", "--timeout", "0.5", url=stack.redis_url)
    assert done.returncode == 124
    assert_one_line(done.stderr, "No end after 0.5 s; job ")
    assert "is cancelled." in done.stderr


def test_ask_into_a_pipe_that_closes_is_quiet(stack: LocalStack) -> None:
    with started("ask", "[[mock tokens=2000 tps=200]]", url=stack.redis_url) as process:
        read(process, "-1 ")
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(DONE_S) == 1


def test_a_job_that_fails_is_one_line_or_its_record(stack: LocalStack) -> None:
    done = apexq("ask", "[[mock error_at=1]]", url=stack.redis_url)
    assert (done.returncode, done.stdout) == (5, "I\n")
    assert_one_line(done.stderr, "The mock was told to fail here.")
    done = apexq("ask", "[[mock error_at=1]]", "--json", url=stack.redis_url)
    record = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (5, "")
    assert (record["state"], record["error"]["code"]) == ("failed", "backend_error")


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["hi", "--agent", ""], "agent_id: "),
        (["hi", "--agent", "x" * 300], "agent_id: "),
        (["hi", "--max-tokens", "-1"], "max_tokens: "),
        (["hi", "--temperature", "nan"], "temperature: "),
        (["hi", "--timeout", "0"], "timeout_s: "),
        (["hi", "--model", "gpt-9"], "No instance serves the model 'gpt-9'; registered: mock."),
    ],
)
def test_a_bad_request_is_refused(stack: LocalStack, args: list[str], sentence: str) -> None:
    done = apexq("ask", *args, url=stack.redis_url)
    assert (done.returncode, done.stdout) == (4, "")
    assert_one_line(done.stderr, sentence)


def test_a_prompt_that_is_no_text_or_has_no_end_is_refused(stack: LocalStack) -> None:
    done = apexq("ask", "-", stdin=b"caf\xe9", url=stack.redis_url)
    assert done.returncode == 4
    assert_one_line(done.stderr, "cannot be encoded as UTF-8")
    done = apexq("ask", "-", stdin="x" * 20, url=stack.redis_url, APEX_MAX_PROMPT_BYTES="10")
    assert done.returncode == 4
    assert_one_line(done.stderr, "has more than 10 bytes")


def test_a_budget_without_room_refuses(stack: LocalStack) -> None:
    budgets = json.dumps({"tenant": {"poor": {"tokens": 5}}})
    done = apexq("ask", "hi", "--tenant", "poor", url=stack.redis_url, APEX_BUDGETS=budgets)
    assert done.returncode == 4
    assert_one_line(done.stderr, "tenant:poor has used 0 and holds 0 of 5 tokens; ")


# --- status


def test_status_shows_instances_and_tokens(stack: LocalStack) -> None:
    apexq("ask", "hi", "--tenant", "shown", url=stack.redis_url)
    done = apexq("status", "--tenant", "shown", url=stack.redis_url)
    assert done.returncode == 0
    assert [line.split()[:2] for line in done.stdout.splitlines() if line[:4] == "inst"] == [
        ["inst0", "ready"],
        ["inst1", "ready"],
    ]
    assert "Tokens of tenant shown: 9 used, 0 held, no limit" in done.stdout


def test_status_has_it_all_as_json(stack: LocalStack) -> None:
    found = json.loads(apexq("status", "--json", url=stack.redis_url).stdout)
    one = found["instances"][0]
    assert (one["name"], one["state"], one["backend"]) == ("inst0", "ready", "mock")
    assert (one["waiting"], one["running"]) == (0, 0)
    assert one["heard_s"] < 10
    assert found["tokens"]["tenant"] == "default"


def test_status_says_when_a_tenants_window_opens(stack: LocalStack) -> None:
    def limited_to(tokens: int) -> str:
        return json.dumps({"tenant": {"daily": {"tokens_per_day": tokens}}})

    asked = apexq(
        *("ask", "hi", "--tenant", "daily", "--max-tokens", "8"),
        url=stack.redis_url,
        APEX_BUDGETS=limited_to(1000),
    )
    assert asked.returncode == 0, asked.stderr
    status = ("status", "--tenant", "daily")
    open_ = apexq(*status, url=stack.redis_url, APEX_BUDGETS=limited_to(1000)).stdout
    full = apexq(*status, url=stack.redis_url, APEX_BUDGETS=limited_to(9)).stdout
    assert "  this day: 9 of 1,000 used; a new window begins at 00:00 UTC on 20" in open_
    assert "  this day: 9 of 9 used; budget window opens 00:00 UTC on 20" in full
    denied = apexq(
        *("ask", "hi", "--tenant", "daily", "--max-tokens", "1"),
        url=stack.redis_url,
        APEX_BUDGETS=limited_to(75),  # what this request holds
    )
    assert denied.returncode == 4
    assert_one_line(denied.stderr, "The window opens anew at 00:00 UTC")


def test_status_of_a_job_says_where_it_stands(stack: LocalStack) -> None:
    with LLMClient(stack.settings) as client:
        long = client.submit("[[mock tokens=9999 tps=20]]", agent_id="Planner")
        begun(long)
        waiting = client.submit("hi", agent_id="Planner")
        said = apexq("status", waiting.id, url=stack.redis_url).stdout
        assert "State     queued" in said
        assert "Position  1 before it" in said
        found = json.loads(apexq("status", waiting.id, "--json", url=stack.redis_url).stdout)
        assert (found["state"], found["position"], found["result"]) == ("queued", 1, None)
        assert "State     running" in apexq("status", long.id, url=stack.redis_url).stdout
        long.cancel()
        waiting.result(timeout=DONE_S)
        said = apexq("status", waiting.id, url=stack.redis_url).stdout
        assert "State     succeeded" in said
        assert "Tokens    1 prompt + 8 answer" in said


def test_status_of_no_job_is_not_found(stack: LocalStack) -> None:
    done = apexq("status", "nobody", url=stack.redis_url)
    assert done.returncode == 6
    assert_one_line(done.stderr, "Job nobody is not in the ledger")


# --- doctor


def test_doctor_finds_a_running_stack_well(stack: LocalStack) -> None:
    done = apexq("doctor", url=stack.redis_url)
    assert done.returncode == 0, done.stdout
    found = [line.split()[:2] for line in done.stdout.splitlines() if line[:4] in ("ok  ", "warn")]
    assert found == [
        ["ok", "python"],
        ["ok", "extras"],
        ["ok", "settings"],
        ["ok", "servers"],
        ["ok", "redis"],
        ["ok", "clock"],
        ["ok", "version"],
        ["ok", "permissions"],
        ["ok", "role"],
        ["ok", "eviction"],
        ["ok", "room"],
        ["warn", "persistence"],  # this stack has no memory
        ["ok", "connections"],
        ["ok", "latency"],
        ["ok", "instances"],
        ["ok", "memory"],
    ]


def test_doctor_says_what_to_do_without_redis_and_hides_the_password() -> None:
    done = apexq("doctor", "--json", url="redis://:hunter2@127.0.0.1:1/0")
    found = json.loads(done.stdout)
    assert (done.returncode, found["ok"]) == (1, False)
    assert "hunter2" not in done.stdout
    redis = next(check for check in found["checks"] if check["name"] == "redis")
    assert redis["status"] == "fail"
    assert "apexq up" in redis["todo"]


def test_doctor_finds_a_wrong_setting() -> None:
    done = apexq("doctor", APEX_LLM_INSTANCE="2")
    assert done.returncode == 1
    assert "did you mean APEX_LLM_INSTANCES?" in done.stdout


@pytest.fixture
def too_large(tmp_path: Path) -> Path:
    """A GGUF file of 8.8 TB, which takes no room on the disk."""
    return gguf_header.write(tmp_path / "large.gguf", size=1 << 43)


def test_doctor_shows_the_arithmetic_of_a_model_that_does_not_fit(
    stack: LocalStack, too_large: Path
) -> None:
    facts = {"APEX_LLM_BACKEND": "llama_cpp", "APEX_GGUF_MODEL_PATH": str(too_large)}
    # Two of the five instances are up, and count no more.
    done = apexq("doctor", url=stack.redis_url, **facts)
    assert done.returncode == 1
    assert "fail  memory       the models do not fit" in done.stdout
    assert "3 × large.gguf in RAM" in done.stdout
    assert "weights                        8,796.09 GB" in done.stdout
    warned = apexq("doctor", "--json", url=stack.redis_url, **facts, APEX_MEMORY_CHECK="0")
    checks = {check["name"]: check for check in json.loads(warned.stdout)["checks"]}
    assert (warned.returncode, checks["memory"]["status"]) == (0, "warn")


# --- Redis that does not answer, settings that are wrong


@pytest.mark.parametrize("args", [["ask", "hi"], ["status"], ["status", "x"], ["up"]])
def test_without_redis_there_is_one_line_and_code_3(args: list[str]) -> None:
    done = apexq(*args, url=UNREACHABLE)
    assert done.returncode == 3
    assert_one_line(done.stderr, f"Redis at {UNREACHABLE} does not answer")
    done = apexq(*args, "--json", url=UNREACHABLE)
    assert (done.returncode, done.stderr) == (3, "")
    assert json.loads(done.stdout)["error"]["code"] == "redis_unavailable"


def test_a_frozen_redis_is_given_up_within_the_time_outs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        done = apexq("status", url=f"redis://127.0.0.1:{mute.getsockname()[1]}/0")
    assert done.returncode == 3
    assert_one_line(done.stderr, "does not answer")


@pytest.mark.parametrize("args", [["ask", "hi"], ["status"], ["up"], ["worker", "inst0"], ["demo"]])
def test_a_wrong_setting_is_one_line_and_code_2(args: list[str]) -> None:
    done = apexq(*args, APEX_MAX_ATEMPTS="3")
    assert done.returncode == 2
    assert_one_line(done.stderr, "did you mean APEX_MAX_ATTEMPTS?")


# --- the whole


def test_version_and_help() -> None:
    assert apexq("--version").stdout.startswith("apexq, version ")
    assert "Exit codes:" in apexq("--help").stdout
    assert apexq().returncode == 2


def test_the_commands_are_click_commands_that_others_may_mount() -> None:
    assert CliRunner().invoke(cli, ["status", "--help"]).exit_code == 0
