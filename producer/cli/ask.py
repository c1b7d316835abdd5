"""``apexq ask``: one question, its answer as it is made."""

from __future__ import annotations

import sys
from typing import Any

import click

from ledger.errors import ApexError, InvalidRequest, JobNotFound, ResultTimeout
from ledger.messages import State
from ledger.priority import Priority
from ledger.settings import Settings
from producer.cli.edge import Interrupted, exit_code
from producer.cli.options import json_option, local_settings, tenant_option
from producer.cli.output import complain, say, say_json, stream_text
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
@json_option
@click.pass_context
def command(ctx: click.Context, /, prompt: str, as_json: bool, **options: Any) -> None:
    """Ask an agent and stream its answer.

    PROMPT is the question; `-` reads it from standard input. Ctrl-C cancels the job.
    """
    settings = local_settings()
    if prompt == "-":
        prompt = _read_prompt(settings)
    given = {name: value for name, value in options.items() if value is not None}
    with LLMClient(settings) as client:
        order = client.order(prompt, **given)
        job = client.job(order.job_id)
        try:
            client.send(order)
            ctx.exit(_print_record(job, options) if as_json else _print_text(job, options))
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


def _print_text(job: Job, options: dict[str, Any]) -> int:
    last = low = ""
    try:
        for event in job.stream(timeout_s=options["timeout_s"]):
            if event.kind == "reset":
                complain("the worker was lost; another attempt begins the answer anew:")
            if event.kind == "budget_low":
                low = f"{event.used:,} of {event.limit:,}"
            stream_text(event.text)
            last = event.text or last
    finally:
        if not last.endswith("\n"):
            say()  # what is said next, here or by the shell, begins a line
    if low:
        complain(f"the episode's budget is low: {low} tokens are spent.")
    result = job.outcome()
    if result.finish_reason == "length":
        complain(
            f"the answer ends at {result.usage.completion_tokens} tokens; --max-tokens allows more."
        )
    return 0


def _print_record(job: Job, options: dict[str, Any]) -> int:
    """Prints the terminal record, also that of a job that failed: it has its own ``error``."""
    result = job.outcome(timeout=options["timeout_s"])
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
