"""Where errors become exit codes and one line, and nowhere else."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from enum import IntEnum

import click

from ledger import errors
from ledger.errors import ApexError, to_record
from producer.cli.output import complain, say_json


class Exit(IntEnum):
    """What the command's exit code means."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NO_REDIS = 3
    REFUSED = 4
    JOB_FAILED = 5
    NOT_FOUND = 6
    NO_MEMORY = 7
    TIMED_OUT = 124
    INTERRUPTED = 130


class WrongUsage(ApexError):
    """The command line is not one of ours."""

    code = "usage"


class Interrupted(ApexError):
    """Somebody pressed Ctrl-C."""

    code = "interrupted"
    default = "Interrupted."


@dataclass
class Invocation:
    """What the edge has to know of the command that runs; click carries it as the context's obj."""

    as_json: bool = False


def exit_code(error: ApexError) -> Exit:
    """The exit code of an error: its own class's, else that of the nearest base class."""
    table: dict[type, Exit] = {
        WrongUsage: Exit.USAGE,
        errors.InvalidSetting: Exit.USAGE,
        errors.RedisUnavailable: Exit.NO_REDIS,
        errors.InvalidRequest: Exit.REFUSED,
        errors.BudgetExceeded: Exit.REFUSED,
        errors.EpisodeOver: Exit.REFUSED,
        errors.QueueFull: Exit.REFUSED,
        errors.NoInstance: Exit.REFUSED,
        errors.UnknownModel: Exit.REFUSED,
        errors.IdempotencyConflict: Exit.REFUSED,
        errors.DoesNotFit: Exit.NO_MEMORY,
        errors.JobFailed: Exit.JOB_FAILED,
        errors.JobNotFound: Exit.NOT_FOUND,
        errors.ResultTimeout: Exit.TIMED_OUT,
        errors.DeadlineExceeded: Exit.TIMED_OUT,
        errors.JobExpired: Exit.TIMED_OUT,
        Interrupted: Exit.INTERRUPTED,
    }
    return next((table[kind] for kind in type(error).__mro__ if kind in table), Exit.FAILED)


def run(command: click.Command, args: list[str]) -> int:
    """Runs a command; returns its exit code."""
    invocation = Invocation()
    try:
        code = command.main(args, prog_name="apexq", standalone_mode=False, obj=invocation)
        sys.stdout.flush()  # here, where a closed pipe is still caught
        return code if isinstance(code, int) else Exit.OK
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return Exit.USAGE
    except click.UsageError as error:
        invocation.as_json |= "--json" in args  # click may have given up before it
        return _report(_wrong_usage(error), invocation)
    except (click.Abort, KeyboardInterrupt):
        return _report(Interrupted(), invocation)
    except ApexError as error:
        return _report(error, invocation)
    except BrokenPipeError:
        return _silenced()


def _wrong_usage(error: click.UsageError) -> WrongUsage:
    sentence = error.format_message()
    if error.ctx is not None:
        sentence += f" See `{error.ctx.command_path} --help`."
    return WrongUsage(sentence)


def _report(error: ApexError, invocation: Invocation) -> int:
    try:
        if invocation.as_json:
            say_json({"error": to_record(error)})
        else:
            complain(error.message)
        sys.stdout.flush()
    except BrokenPipeError:
        return _silenced()
    return exit_code(error)


def _silenced() -> int:
    """The reader of our output has gone; Python's own last flush must not complain of that."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return Exit.FAILED
