"""``apexq demo``."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import click

from ledger.errors import StackFailed
from ledger.settings import Settings, load_settings
from producer.aio import AsyncLLMClient
from producer.cli.demo import act, report
from producer.cli.demo.act import Act
from producer.cli.demo.agents import Agent, agents
from producer.cli.demo.checks import judge
from producer.cli.demo.lines import Lines, Nothing
from producer.cli.demo.screen import Screen
from producer.cli.edge import Exit
from producer.cli.options import json_option
from producer.cli.output import say, say_json
from producer.local import LocalStack
from producer.local.valkey import find_binary

if TYPE_CHECKING:
    from rich.console import Console

INSTANCES = 5

MOCK_SAYS = "The mock ends each answer with a hash of all that it was given to read."
MODEL_SAYS = "Whatever the model says, at temperature 0 it says the same to the same prompt."


@click.command("demo")
@json_option
def command(as_json: bool) -> int:
    """Run five agents at once and check that nothing leaks.

    Starts an embedded Redis and five instances, asks each of the five standard agents alone and
    then all of them at once, and compares. Ends with 0 if every check held. The backend is the
    settings' (APEX_LLM_BACKEND), by default the mock, which needs no model; with
    APEX_GGUF_MODEL_PATH it is llama.cpp.
    """
    began = time.monotonic()
    console = None if as_json else _terminal()
    if not as_json:
        say("Starting Redis and five instances on this machine …")
    with _stack() as stack:
        backend = stack.settings.instances[0].backend
        cast = agents(mock=backend == "mock", draw_secret=partial(secrets.token_hex, 4))
        screen = _screen(as_json, console, cast)
        screen.say(f"Ready after {time.monotonic() - began:.1f} s; the backend is {backend}.")
        screen.say(MOCK_SAYS if backend == "mock" else MODEL_SAYS)
        alone, together = asyncio.run(_perform(stack.settings, cast, screen))
        verdicts = judge(cast, alone, together)
        if as_json:
            say_json(report.as_json(alone, together, verdicts))
        elif console is not None:
            report.show_rich(console, alone, together, verdicts)
        else:
            report.show_plain(alone, together, verdicts)
    held = all(verdict.held for verdict in verdicts)
    if held and not as_json:
        say(
            f"\nEvery check held. {time.monotonic() - began:.1f} s in all; nothing is left running."
        )
    return Exit.OK if held else Exit.FAILED


def _stack() -> LocalStack:
    """Five like instances by the environment alone, on a Redis of their own if there can be one."""
    env = {**os.environ, "APEX_CONFIG": "", "APEX_MOCK_DIRECTIVES": "1"}
    try:
        find_binary()
        env["REDIS_URL"] = ""  # a Redis in use has instances with the same names
    except StackFailed:
        pass  # it says so itself, if REDIS_URL names none either
    patience_s = load_settings(env).load_timeout_s
    return LocalStack(instances=INSTANCES, backend=None, env=env, ready_timeout_s=patience_s)


async def _perform(settings: Settings, cast: list[Agent], screen: Screen) -> tuple[Act, Act]:
    async with AsyncLLMClient(settings) as client:
        with screen:
            return await act.alone(client, cast, screen), await act.together(client, cast, screen)


def _terminal() -> Console | None:
    """The terminal, if the agents can be shown side by side in it."""
    if not sys.stdout.isatty():
        return None
    try:
        from rich.console import Console

        from producer.cli.demo.panes import LOWEST, NARROWEST
    except ImportError:
        return None
    console = Console(highlight=False)
    fits = console.width >= NARROWEST and console.height >= LOWEST
    return console if fits and not console.is_dumb_terminal else None


def _screen(as_json: bool, console: Console | None, cast: list[Agent]) -> Screen:
    if as_json:
        return Nothing()
    if console is None:
        return Lines()
    from producer.cli.demo.panes import Panes

    return Panes([agent.name for agent in cast], console)
