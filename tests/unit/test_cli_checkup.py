"""`apexq doctor`'s checks: what they find and when they fail."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.instances import Descriptor
from ledger.overview import InstanceFacts
from producer.cli import checkup
from producer.cli.instances import Instance

ABSENT_S = 60.0


def instance(
    name: str,
    state: str = "ready",
    heard_s: float | None = 0.2,
    why: str = "",
    **facts: Any,
) -> Instance:
    found = InstanceFacts(name, state, why, f"{name}@host", 1, 0, 0, heard_s, **facts)
    return Instance(Descriptor(name=name, backend="mock", model="mock"), found)


@pytest.mark.parametrize(("version", "status"), [((3, 10, 9), "fail"), ((3, 11, 0), "ok")])
def test_an_old_python_fails(version: tuple[int, ...], status: str) -> None:
    assert checkup.check_python(version).status == status


def test_extras_are_named_and_none_is_missed() -> None:
    check = checkup.check_extras({"here": "json", "gone": "no_such_module"})
    assert check.status == "ok"
    assert "installed: here; not installed: gone" in check.found


@pytest.mark.parametrize(
    ("skew_s", "status", "way"), [(0.1, "ok", "before"), (-30, "warn", "behind")]
)
def test_a_wrong_clock_is_a_warning(skew_s: float, status: str, way: str) -> None:
    check = checkup.check_clock(skew_s)
    assert check.status == status
    assert way in check.found


@pytest.mark.parametrize(
    ("instances", "status", "found"),
    [
        ([], "fail", "none has registered"),
        ([instance("a"), instance("b")], "ok", "2 of 2 ready"),
        ([instance("a"), instance("b", "failed", why="no file")], "fail", "b is failed (no file)"),
        ([instance("a"), instance("b", heard_s=30)], "fail", "b is silent"),
        ([instance("a"), instance("b", heard_s=90)], "warn", "b is silent"),
        ([instance("a"), instance("b", "stopped", 90)], "warn", "b is stopped"),
        ([instance("a", heard_s=None)], "fail", "0 of 1 ready; a is silent"),
        ([instance("a", rest_s=5)], "warn", "a is resting (rests for 5 s: "),
        ([instance("a", rest_s=5), instance("b", "failed")], "fail", "0 of 2 ready"),
        ([instance("a"), instance("b", drained=True)], "warn", "until `apexq resume b`"),
        ([instance("a", drained=True)], "fail", "0 of 1 ready"),
    ],
)
def test_an_instance_that_gets_jobs_and_cannot_run_them_fails(
    instances: list[Instance], status: str, found: str
) -> None:
    check = checkup.check_instances(instances, ABSENT_S)
    assert check.status == status
    assert found in check.found
