"""What is said of settings that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.configured import complaint, in_file


def test_an_unknown_name_is_refused_with_the_nearest_known_one(tmp_path: Path) -> None:
    said = complaint({"APEX_LLM_INSTANCE": "3"})
    assert "APEX_LLM_INSTANCE;" in said
    assert "APEX_LLM_INSTANCES?" in said
    assert "'max_tokens'?" in complaint(in_file(tmp_path, "max_token = 3"))
    assert "'temperature'?" in complaint(tempreature=0.5)
    assert "Unknown key 'config'" in complaint(in_file(tmp_path, "config = 'other.toml'"))


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("APEX_LLM_CTX_TOKENS", "abc", "must be a valid integer, not 'abc'"),
        ("APEX_LLM_CTX_TOKENS", "5.5", "must be a valid integer, not '5.5'"),
        ("APEX_LLM_CTX_TOKENS", "-1", "must be greater than or equal to 1, not '-1'"),
        ("LLM_TEMPERATURE", "nan", "must be a finite number, not 'nan'"),
        ("APEX_LEASE_S", "inf", "must be a finite number, not 'inf'"),
        ("APEX_LLM_TIMEOUT_S", "0", "must be greater than 0, not '0'"),
        ("LLM_TIMEOUT", "-3", "must be greater than 0, not '-3'"),
        ("LLM_TOP_P", "2", "must be less than or equal to 1, not '2'"),
        ("APEX_LLM_STUB", "maybe", "must be a valid boolean, not 'maybe'"),
        ("APEX_LLM_INSTANCES", "0", "takes a number from 1 to 10000"),
        ("APEX_LLM_INSTANCES", "many", "takes a number from 1 to 10000"),
        ("APEX_LLM_INSTANCES", "[]", "takes a number from 1 to 10000"),
        ("APEX_LLM_INSTANCES", "true", "takes a number from 1 to 10000"),
        ("APEX_LLM_INSTANCES", '[{"name": "a b"}]', "letters, digits"),
        ("APEX_LLM_INSTANCES", '[{"name": "a\\nb"}]', "letters, digits"),
        ("APEX_LLM_INSTANCES", '[{"name": "unacked"}]', "Celery uses itself"),
        ("APEX_LLM_INSTANCES", '[{"name": "a"}, {"name": "a"}]', "two instances have the name 'a'"),
        (
            "APEX_LLM_INSTANCES",
            '[{"nme": "a"}]',
            "name of number 1 of APEX_LLM_INSTANCES is missing",
        ),
        ("APEX_LLM_INSTANCES", '[{"name": "a", "slots": 0}]', "slots of number 1 of APEX_LLM_I"),
        ("APEX_LLM_INSTANCES", '[{"name": "a", "slots": true}]', "slots of number 1 of APEX_LLM_I"),
        ("APEX_LLM_INSTANCES", '[{"name": "a", "weight": 0}]', "weight of number 1 of APEX"),
        ("APEX_LLM_INSTANCES", '[{"name": "a", "options": 1, "b": 2}]', "options of number 1 of "),
        (
            "APEX_LLM_INSTANCES",
            '[{"name": "a", "roles": "Planner"}]',
            "must be a list, not 'Planner'",
        ),
        ("APEX_LLM_INSTANCES", '["a"]', "number 1 of APEX_LLM_INSTANCES must be a table, not 'a'"),
        ("LLM_API_BASE", "localhost:8000", "takes a URL"),
        ("APEX_BUDGETS", "{", "takes tables by scope and id"),
        ("APEX_CONFIG", "/nowhere/apexq.toml", "which is not a file"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_with_its_variable_and_what_that_takes(
    variable: str, value: str, expected: str
) -> None:
    said = complaint({variable: value})
    assert variable in said
    assert expected in said


def test_a_bad_value_in_the_file_or_an_argument_is_named_by_its_place(tmp_path: Path) -> None:
    env = in_file(tmp_path, "max_tokens = 0")
    assert complaint(env).startswith(f"max_tokens in {tmp_path}/apexq.toml must be")
    assert complaint(max_tokens=0).startswith("The argument max_tokens must be")
    assert "no true or false" in complaint(in_file(tmp_path, "max_tokens = true"))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    assert "is not valid TOML" in complaint(in_file(tmp_path, "a = "))
    (tmp_path / "apexq.toml").write_bytes(b"\xff\xfe")
    assert "is not valid TOML" in complaint({"APEX_CONFIG": str(tmp_path / "apexq.toml")})
    assert "is not a file" in complaint({"APEX_CONFIG": str(tmp_path)})


def test_an_episode_may_not_be_longer_than_its_maximum() -> None:
    assert "raise APEX_EPISODE_TIMEOUT_MAX_S" in complaint({"APEX_EPISODE_TIMEOUT_S": "7200"})


def test_an_option_that_json_does_not_know_is_refused(tmp_path: Path) -> None:
    said = complaint(in_file(tmp_path, '[[instances]]\nname = "a"\nsince = 2026-01-01'))
    assert "only what JSON knows" in said
