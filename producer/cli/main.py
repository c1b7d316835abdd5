"""The command ``apexq``: what it consists of and how it begins."""

from __future__ import annotations

import io
import sys

import click

from producer.cli import edge
from producer.cli.lazy import LazyGroup

COMMANDS = {
    "demo": "Run five agents at once and check that nothing leaks.",
    "up": "Start Redis and one worker per instance on this machine.",
    "down": "Stop the stack that is up in this directory.",
    "worker": "Run the worker of one instance.",
    "ask": "Ask an agent and stream its answer.",
    "status": "Show the instances and tokens, or where a job stands.",
    "jobs": "List jobs, show one, cancel some.",
    "dead": "List jobs that were given up, show why, try them again, drop them.",
    "models": "Show the models that instances serve.",
    "budget": "Show, set or take back limits of tokens.",
    "usage": "Show what was spent, in tokens and money.",
    "erase": "Remove what is kept of a tenant or of a session.",
    "drain": "Take an instance out of service; what waits goes elsewhere.",
    "resume": "Put a drained instance back into service.",
    "scale": "Change how many instances the stack of this directory has.",
    "doctor": "Check this machine, Redis and the instances.",
}

EPILOG = """\b
Exit codes:
    0  done                      5  the job failed
    1  failed                    6  there is no such job
    2  wrong flag or setting     7  the models do not fit into memory
    3  Redis does not answer   124  timed out
    4  refused, not enqueued   130  interrupted (Ctrl-C)

Settings come from the environment and apexq.toml; docs/cli.md and docs/settings.md say more.
"""


@click.group(
    cls=LazyGroup,
    package="producer.cli",
    lines=COMMANDS,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(None, "--version", package_name="apexq", prog_name="apexq")
def cli() -> None:
    """A job queue for LLM agents: isolated instances, hard token budgets, resumable streams."""


def main() -> int:
    """Runs what the command line says; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # an answer may have what a terminal cannot show
    return edge.run(cli, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
