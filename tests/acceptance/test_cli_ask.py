"""`apexq ask`, run as a user runs it."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest

from producer import LLMClient
from producer.local import LocalStack
from tests.support.command import DONE_S, apexq, assert_one_line, read, started
from tests.support.held_replies import held_replies


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


def assert_ctrl_c_cancels_the_job(process: subprocess.Popen[str], stack: LocalStack) -> None:
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=DONE_S)
    assert process.returncode == 130
    assert_one_line(err.strip() + "\n", "is cancelled.")
    job_id = err.partition("job ")[2].split()[0]
    with LLMClient(stack.settings) as client:
        assert client.job(job_id).outcome(timeout=DONE_S).state == "cancelled"


def test_ask_streams_and_ctrl_c_cancels_the_job(stack: LocalStack) -> None:
    with started("ask", "[[mock tokens=2000 tps=50]]", url=stack.redis_url) as process:
        assert read(process, "-1 ")
        assert_ctrl_c_cancels_the_job(process, stack)


def test_ctrl_c_before_redis_has_answered_the_submit_cancels_the_job(stack: LocalStack) -> None:
    with LLMClient(stack.settings) as client:
        client.complete("hello", agent_id="a")  # from now on Redis has the script
    with (
        held_replies(stack.redis_url, "submit") as way,
        started("ask", "[[mock tokens=2000 tps=50]]", url=way.url) as process,
    ):
        assert way.held.wait(DONE_S)
        assert_ctrl_c_cancels_the_job(process, stack)


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
