"""``python -m tests.torture --jobs 500 --faults 30 --seed 1 --seconds 60``."""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
import tempfile
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from random import SystemRandom

from tests.torture.faults import FAULTS
from tests.torture.plan import Plan
from tests.torture.report import report
from tests.torture.run import run
from tests.torture.server import Server


def main() -> int:
    """0: everything held; 1: something did not."""
    given = _arguments()
    for name in list(os.environ):  # no setting of whoever runs this reaches the run
        if name.startswith(("APEX_", "LLM_", "CELERY")) or name == "REDIS_URL":
            del os.environ[name]
    folder = Path(tempfile.mkdtemp(prefix="apexq-torture-"))
    logging.basicConfig(
        filename=folder / "faults.log", level=logging.INFO, format="%(asctime)s %(message)s"
    )
    with closing(Server(folder)) as server:
        plan = Plan(
            jobs=given.jobs,
            faults=given.faults,
            seed=given.seed,
            seconds=given.seconds,
            lease_s=given.lease,
            folder=folder,
            url=server.url,
            only=given.only,
            model="" if given.no_llama else _model(folder),
        )
        _say(f"torture: {plan.command}{'' if plan.model else ' (mock only)'}")
        outcome = run(plan, server)
    for line in report(plan, outcome):
        _say(line)
    if outcome.good and not given.keep:
        shutil.rmtree(folder)
    return 0 if outcome.good else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make torture")
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--faults", type=int, default=60)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10**6))
    parser.add_argument("--seconds", type=float, default=120, help="that jobs and faults take")
    parser.add_argument("--lease", type=float, default=3.0, help="seconds")
    parser.add_argument("--only", type=_kinds, default=(), help="kinds of faults, with commas")
    parser.add_argument("--keep", action="store_true", help="keep the folder of a good run too")
    parser.add_argument("--no-llama", action="store_true", help="mock only")
    return parser.parse_args()


def _kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(kind.strip() for kind in text.split(",") if kind.strip())
    if unknown := set(kinds) - FAULTS.keys():
        raise argparse.ArgumentTypeError(f"no fault {sorted(unknown)}; known: {', '.join(FAULTS)}")
    return kinds


def _model(folder: Path) -> str:
    """The tiny model's path; '' where llama.cpp is not installed."""
    if find_spec("llama_cpp") is None:
        return ""
    from tests.support import tiny_gguf

    return str(tiny_gguf.write(folder / "tiny.gguf"))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
