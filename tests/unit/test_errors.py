"""Errors: one sentence each, a code of its own, whole again after a record or a pickle."""

from __future__ import annotations

import json
import pickle
import re

import pytest

from ledger import errors
from ledger.errors import (
    ApexError,
    BackendError,
    BudgetExceeded,
    JobFailed,
    ResultTimeout,
    from_record,
    to_record,
)

EVERY = [
    one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, ApexError)
]


def with_facts(cls: type[ApexError]) -> ApexError:
    named = re.findall(r"{(\w+)", cls.default)
    return cls(**{name: position for position, name in enumerate(named)})


def test_no_two_errors_have_the_same_code() -> None:
    codes = [cls.code for cls in EVERY]
    assert len(set(codes)) == len(codes) > 15


@pytest.mark.parametrize("cls", EVERY)
def test_its_default_message_is_one_sentence(cls: type[ApexError]) -> None:
    said = str(with_facts(cls))
    assert said.endswith(".")
    assert said.count(". ") == 0
    assert "{" not in said
    assert cls.__doc__


@pytest.mark.parametrize("cls", EVERY)
def test_it_is_whole_again_after_its_way_through_a_record(cls: type[ApexError]) -> None:
    error = with_facts(cls)
    again = from_record(json.loads(json.dumps(to_record(error))))
    assert type(again) is cls
    assert (again.message, again.facts) == (error.message, error.facts)


@pytest.mark.parametrize("cls", EVERY)
def test_it_is_whole_again_after_a_pickle(cls: type[ApexError]) -> None:
    error = with_facts(cls)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls
    assert (str(again), again.facts) == (str(error), error.facts)


def test_facts_are_attributes() -> None:
    error = BudgetExceeded(scope="tenant:acme", limit=10, used=4, held=5, requested=2)
    assert (error.scope, error.limit, error.used, error.held, error.requested) == (
        "tenant:acme",
        10,
        4,
        5,
        2,
    )
    with pytest.raises(AttributeError):
        _ = error.colour


@pytest.mark.parametrize(
    ("error", "retriable"),
    [
        (errors.BackendError(), False),
        (errors.BackendError(retriable=True), True),
        (errors.ContextTooLong(prompt_tokens=2, window=1), False),
        (errors.ContentRefused(said="no"), False),
        (errors.BackendAuth(said="no"), False),
        (errors.ModelNotFound(model="m", said="no"), False),
        (errors.RateLimited(retry_after_s=1, said="no"), True),
    ],
    ids=lambda one: getattr(one, "code", None),
)
def test_the_record_of_a_backends_error_says_whether_it_may_pass(
    error: BackendError, retriable: bool
) -> None:
    assert to_record(error)["facts"]["retriable"] is retriable


def test_a_fact_may_have_any_name() -> None:
    error = from_record({"code": "job_failed", "facts": {"message": "m", "self": 1, "job_id": "j"}})
    assert isinstance(error, JobFailed)
    assert error.facts["message"] == "m"
    assert str(error) == "Job j failed."


@pytest.mark.parametrize(
    "record", [{}, {"code": "budget_exceeded"}, {"code": "of a later version"}]
)
def test_a_damaged_record_still_makes_an_error(record: dict[str, str]) -> None:
    assert isinstance(from_record(record), ApexError)


def test_a_wait_that_ran_out_is_a_timeout_of_python_too() -> None:
    assert isinstance(ResultTimeout(job_id="j", timeout_s=1), TimeoutError)


def test_a_record_keeps_no_more_of_a_long_text_than_its_beginning() -> None:
    record = to_record(BackendError("It said: " + "x" * 100_000, body="y" * 100_000, status=500))

    assert record["message"].startswith("It said: xxx")
    assert len(record["message"]) == len(record["facts"]["body"]) == 2000
    assert record["facts"]["status"] == 500
