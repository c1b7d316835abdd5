"""The command line's edge: exit codes, one line for each error, help without imports."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest

from ledger import errors
from ledger.errors import ApexError, BudgetExceeded, JobFailed, RedisUnavailable
from producer.cli import edge
from producer.cli.edge import Exit, exit_code
from producer.cli.lazy import LazyGroup
from producer.cli.main import COMMANDS, EPILOG, cli
from producer.cli.options import json_option
from producer.cli.output import counted_are, printable, table

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text("utf-8")

CODES = {
    Exit.FAILED: "ApexError CorruptEntry UnknownBackend BackendMissing InstanceTaken StackFailed",
    Exit.USAGE: "InvalidSetting",
    Exit.NO_REDIS: "RedisUnavailable",
    Exit.REFUSED: "InvalidRequest BudgetExceeded EpisodeOver QueueFull NoInstance UnknownModel "
    "IdempotencyConflict Rerouted",
    Exit.JOB_FAILED: "JobFailed JobCancelled JobDead BackendError ContextTooLong "
    "ContentRefused BackendAuth ModelNotFound RateLimited ServerAway",
    Exit.NOT_FOUND: "JobNotFound",
    Exit.NO_MEMORY: "DoesNotFit",
    Exit.TIMED_OUT: "ResultTimeout DeadlineExceeded JobExpired",
}


def error_classes() -> dict[str, type[ApexError]]:
    return {
        name: cls
        for name, cls in vars(errors).items()
        if isinstance(cls, type) and issubclass(cls, ApexError)
    }


@pytest.mark.parametrize("name", sorted(error_classes()))
def test_every_error_has_its_exit_code(name: str) -> None:
    expected = [code for code, names in CODES.items() if name in names.split()]
    assert expected == [exit_code(error_classes()[name]())]


def raising(error: BaseException) -> click.Command:
    @click.command("raising")
    @json_option
    def command(as_json: bool) -> None:
        raise error

    return command


def test_an_error_is_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    error = BudgetExceeded(scope="tenant:a", limit=1, used=1, held=0, requested=2)
    assert edge.run(raising(error), []) == Exit.REFUSED
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"apexq: {error.message}\n"


def test_an_error_stays_one_line_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert edge.run(raising(JobFailed("a\nb\x1b[2Jc")), []) == Exit.JOB_FAILED
    assert capsys.readouterr().err == "apexq: a b\N{REPLACEMENT CHARACTER}[2Jc\n"


def test_with_json_an_error_is_an_object_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    error = RedisUnavailable(url="redis://localhost", reason="refused")
    assert edge.run(raising(error), ["--json"]) == Exit.NO_REDIS
    said = capsys.readouterr()
    assert said.err == ""
    assert json.loads(said.out) == {"error": errors.to_record(error)}


def test_ctrl_c_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert edge.run(raising(KeyboardInterrupt()), []) == Exit.INTERRUPTED
    assert capsys.readouterr().err.strip() == "apexq: Interrupted."


@pytest.mark.parametrize("json_flag", [[], ["--json"]])
def test_an_unknown_flag_is_one_line_too(
    json_flag: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert edge.run(cli, ["down", "--zzz", *json_flag]) == Exit.USAGE
    said = capsys.readouterr()
    sentence = "No such option '--zzz'. See `apexq down --help`."
    if json_flag:
        assert json.loads(said.out)["error"]["message"] == sentence
    else:
        assert said.err == f"apexq: {sentence}\n"


def test_a_mistyped_command_is_answered_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert edge.run(cli, ["stauts"]) == Exit.USAGE
    assert "did you mean 'status'?" in capsys.readouterr().err


def test_help_lists_the_commands_and_imports_none(capsys: pytest.CaptureFixture[str]) -> None:
    group = LazyGroup("apexq", package="nowhere", lines=COMMANDS, epilog=EPILOG)
    assert edge.run(group, ["--help"]) == Exit.OK
    said = capsys.readouterr().out
    for name, line in COMMANDS.items():
        assert re.search(rf"{name} +{re.escape(line[:30])}", said)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_of_itself_what_the_list_says(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    assert (command.help or "").partition("\n")[0] == COMMANDS[name]
    for runnable in commands_of(command):
        assert "--json" in options_of(runnable)


def commands_of(command: click.Command) -> list[click.Command]:
    """The command itself, or those of a group."""
    return list(command.commands.values()) if isinstance(command, click.Group) else [command]


def options_of(command: click.Command) -> list[str]:
    return [text for one in command.params for text in one.opts if text.startswith("-")]


@pytest.mark.parametrize("name", COMMANDS)
def test_docs_have_every_command_and_option(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    section = PAGE.partition(f"## `apexq {name}`\n")[2].partition("\n## ")[0]
    for option in [text for one in commands_of(command) for text in options_of(one)]:
        assert option in section


def test_docs_list_the_commands_as_help_does() -> None:
    rows = re.findall(r"^\| \[`apexq (\w+)`\]\(#apexq-\1\) \| (.*) \|$", PAGE, re.MULTILINE)
    assert rows == list(COMMANDS.items())


def test_docs_and_help_have_every_exit_code() -> None:
    rows = re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)
    assert [int(row) for row in rows] == list(Exit)
    assert {int(code) for code in re.findall(r" (\d+)  \w", EPILOG)} == set(Exit)


def test_what_a_model_says_cannot_drive_the_terminal() -> None:
    assert printable("a\tb\nc\x1b]52;c;\x07\x9b") == "a\tb\nc\ufffd]52;c;\ufffd\ufffd"


def test_a_table_leaves_out_what_it_can_spare_where_the_terminal_is_narrow() -> None:
    head, rows = ("JOB", "TENANT", "STATE"), [("1", "acme", "queued")]
    assert table(head, rows, spare=(1, 2), room=19) == "JOB  TENANT  STATE\n1    acme    queued"
    assert table(head, rows, spare=(1, 2), room=18) == "JOB  STATE\n1    queued"
    assert table(head, rows, spare=(1, 2), room=5) == "JOB\n1"


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 jobs are"), (1, "1 job is"), (1000, "1,000 jobs are")]
)
def test_one_is_and_others_are(number: int, said: str) -> None:
    assert counted_are(number, "job") == said


def test_a_table_is_aligned() -> None:
    rows = [("inst0", "1"), ("inst10", "20")]
    assert table(("NAME", "N"), rows, right=(1,)).split("\n") == [
        "NAME     N",
        "inst0    1",
        "inst10  20",
    ]
