"""What the end of ``make test`` says of tests that could not run."""

from __future__ import annotations

from types import SimpleNamespace as Report
from typing import Any

from tests.support.missing_extras import EXTRAS, missing_extras
from workers.backends.table import EXTRAS as EXTRAS_OF_BACKENDS


def skipped(nodeid: str, why: str, **options: Any) -> Report:
    return Report(nodeid=nodeid, longrepr=("file.py", 1, f"Skipped: {why}"), **options)


def test_an_extra_is_named_with_how_much_was_skipped() -> None:
    reports = [
        skipped("tests/test_mlx.py", "could not import 'mlx_lm': No module named 'mlx_lm'"),
        skipped("tests/test_all.py::a", "could not import 'mlx_lm': …", when="setup"),
        skipped("tests/test_all.py::b", "could not import 'mlx_lm': …", when="call"),
        skipped("tests/test_hf.py::c", "could not import 'torch': …", when="call"),
    ]

    assert missing_extras(reports) == [
        "Skipped for want of an extra: hf (pip install 'apexq[hf]'): 1 test",
        "Skipped for want of an extra: mlx (pip install 'apexq[mlx]'): "
        "2 tests, all of tests/test_mlx.py",
    ]


def test_what_several_processes_report_counts_once() -> None:
    report = skipped("tests/test_server.py", "could not import 'llama_cpp.server.app': …")

    assert missing_extras([report, report, report]) == [
        "Skipped for want of an extra: llama (pip install 'apexq[llama]'): "
        "all of tests/test_server.py"
    ]


def test_other_reasons_are_none_of_its_business() -> None:
    assert missing_extras([skipped("tests/a.py::b", "no redis-server is installed")]) == []


def test_every_extra_of_a_backend_is_known() -> None:
    assert set(EXTRAS_OF_BACKENDS.values()) <= set(EXTRAS.values())
