"""The command line: ``python -m benchmarks [--quick] [--only NAME] [--json]``."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import fleet, machine, plot, table
from benchmarks.cases import CASES
from benchmarks.process import ROOT
from benchmarks.row import Row
from benchmarks.scale import FULL, QUICK
from benchmarks.stage import STOPPED, Stage

RESULTS = ROOT / "benchmarks" / "results" / "latest.json"
PLOT = ROOT / "docs" / "benchmarks.svg"


def main() -> int:
    """Measures, prints, and after a full run writes; 0 even where a goal is missed."""
    options = _options()
    fleet.scrub()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: ends what was started
    try:
        rows, where = _measure(options)
    except KeyboardInterrupt:
        _say("stopped")
        return 130
    report = {"environment": where, "rows": [row.as_dict() for row in rows]}
    print(
        json.dumps(report, indent=2) if options.json else f"\n{table.render(rows)}\n{_line(where)}"
    )
    if options.quick or options.only:
        _say("not written: only a full run replaces benchmarks/results/latest.json")
        return 0
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")
    plot.draw(rows, _line(where), PLOT)
    _say(f"written: {RESULTS.relative_to(ROOT)}, {PLOT.relative_to(ROOT)}")
    return 0


def _measure(options: argparse.Namespace) -> tuple[list[Row], dict[str, Any]]:
    scale = QUICK if options.quick else FULL
    rows: list[Row] = []
    with (
        tempfile.TemporaryDirectory(prefix="apexq-bench-") as folder,
        Stage(Path(folder), scale) as stage,
    ):
        where = machine.environment(stage.bare(STOPPED), "quick" if options.quick else "full")
        for name in options.only or CASES:
            _say(f"{name} ...")
            rows += CASES[name](stage)
    return rows, where


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description="apexq, measured.")
    parser.add_argument("--quick", action="store_true", help="small rounds: does it work?")
    parser.add_argument(
        "--only", action="append", choices=tuple(CASES), metavar="NAME", help=", ".join(CASES)
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    return parser.parse_args()


def _line(where: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in where.items())


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
