"""``apexq ask``: one question, its answer as it is made."""

from __future__ import annotations

import sys
from typing import Any

import click

from ledger.errors import ApexError, InvalidRequest, JobNotFound, ResultTimeout
from ledger.messages import State
from ledger.priority import Priority
from ledger.settings import Settings
from producer.cli.answer import Answer
from producer.cli.edge import Interrupted, exit_code
from producer.cli.options import json_option, local_settings, tenant_option
from producer.cli.output import complain, say_json, say_json_line
from producer.client import LLMClient
from producer.job import Job
from producer.outcomes import error_of


@click.command("ask")
@click.argument("prompt")
@click.option("--agent", "agent_id", default="Planner", show_default=True, help="Who is asked.")
@click.option("--session", "session_id", help="Session the request belongs to.")
@click.option("--history", is_flag=True, help="The model reads the session's earlier turns too.")
@click.option("--episode", "episode_id", help="Episode whose budget and deadline count.")
@tenant_option
@click.option(
    "--priority",
    type=click.Choice([one.name for one in Priority], case_sensitive=False),
    help="How soon.  [default: NORMAL]",
)
@click.option("--max-tokens", type=int, help="Tokens of the answer, at most.")
@click.option("--model", help="Only instances that serve this model.")
@click.option("--instance", help="Only this instance.")
@click.option("--temperature", type=float, help="Sampling temperature; 0 is greedy.")
@click.option("--cache/--no-cache", default=None, help="Whether an earlier answer will do.")
@click.option(
    "--timeout", "timeout_s", type=float, help="Seconds to wait; then the job is cancelled."
)
@click.option(
    "--reasoning/--no-reasoning",
    "with_reasoning",
    default=None,
    help="Print on stderr what the model thinks before it answers.  [default: to a terminal]",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    prompt: str,
    as_json: bool,
    with_reasoning: bool | None,
    **options: Any,
) -> None:
    """Ask an agent and stream its answer.

    PROMPT is the question; `-` reads it from standard input. Ctrl-C cancels the job.
    """
    settings = local_settings()
    if prompt == "-":
        prompt = _read_prompt(settings)
    if with_reasoning is None:
        with_reasoning = sys.stderr.isatty()
    given = {name: value for name, value in options.items() if value is not None}
    with LLMClient(settings) as client:
        order = client.order(prompt, **given)
        job = client.job(order.job_id)
        try:
            client.send(order)
            timeout_s = options["timeout_s"]
            if as_json:
                ctx.exit(_print_record(job, timeout_s))
            _print_answer(job, Answer(with_reasoning=with_reasoning), timeout_s)
        except BaseException as reason:
            _let_go(job, reason)
            raise


def _read_prompt(settings: Settings) -> str:
    most = settings.max_prompt_bytes
    data = sys.stdin.buffer.read(most + 1)
    if len(data) > most:
        raise InvalidRequest(
            f"The prompt on standard input has more than {most:,} bytes; "
            "shorten it or raise APEX_MAX_PROMPT_BYTES."
        )
    return data.decode("utf-8", "surrogateescape")  # what is not UTF-8 is refused with the request


def _print_answer(job: Job, answer: Answer, timeout_s: float | None) -> None:
    try:
        for event in job.stream(timeout_s=timeout_s):
            answer.print(event)
    finally:
        answer.end()
    if answer.low:
        complain(f"the episode's budget is low: {answer.low} tokens are spent.")
    result = job.outcome()
    for call in result.tool_calls:
        # What the provider wants back, such as thoughts, is for programs: the record has it.
        say_json_line({name: part for name, part in call.items() if name != "extra_content"})
    if result.finish_reason == "length":
        complain(
            f"the answer ends at {result.usage.completion_tokens} tokens; --max-tokens allows more."
        )


def _print_record(job: Job, timeout_s: float | None) -> int:
    """Prints the terminal record, also that of a job that failed: it has its own ``error``."""
    result = job.outcome(timeout=timeout_s)
    say_json(result.model_dump(mode="json"))
    return 0 if result.state is State.SUCCEEDED else exit_code(error_of(result))


def _let_go(job: Job, reason: BaseException) -> None:
    """Nobody reads the answer any more: cancels the job, and says so to whoever left."""
    if not isinstance(reason, KeyboardInterrupt | BrokenPipeError | ResultTimeout):
        return
    try:
        how = job.cancel()
        done = "is cancelled" if how in ("cancelled", "stopping") else f"had {how}"
    except JobNotFound:  # it was interrupted before Redis had it
        done = "was not enqueued"
    except ApexError as error:
        done = f"goes on, since it could not be cancelled ({error.message})"
    if isinstance(reason, KeyboardInterrupt):
        raise Interrupted(f"Interrupted; job {job.id} {done}.", job_id=job.id) from None
    if isinstance(reason, ResultTimeout):
        raise ResultTimeout(
            f"No end after {reason.timeout_s:g} s; job {job.id} {done}.",
            job_id=job.id,
            timeout_s=reason.timeout_s,
        ) from None
