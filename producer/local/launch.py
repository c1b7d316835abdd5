"""Starting a supervisor and, while the caller lives, holding its lifeline."""

from __future__ import annotations

import selectors
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import IO

from ledger.errors import StackFailed, from_record
from producer.local.plan import Plan, Report
from producer.local.state import StateDir

STOP_S = 20.0  # beyond the workers' grace period; above what the supervisor takes
ANSWER_S = 10.0  # the supervisor's own start, and its answer after the plan's time ran out


class Supervised:
    """The caller's side of a supervisor."""

    def __init__(self, plan: Plan, env: Mapping[str, str]) -> None:
        """Starts it and sends it ``plan``; ``env`` is its environment and its children's."""
        # A session of its own, so that Ctrl-C in the caller's terminal does not reach the stack,
        # which the caller stops in order.
        self._plan = plan
        log = None
        if plan.state_dir:
            StateDir(plan.state_dir).make()
            log = (StateDir(plan.state_dir).log / "supervisor.log").open("ab")
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "producer.local.supervisor"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=env,
                start_new_session=True,
                bufsize=0,
            )
        finally:
            if log:
                log.close()
        with suppress(BrokenPipeError):  # it died already; report() says how
            self._stdin.write(plan.model_dump_json().encode() + b"\n")

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        return self._process.pid

    def report(self) -> Report:
        """Waits for its answer.

        Raises:
            StackFailed: the stack did not come up.
            ApexError: any other reason, such as a Redis that does not answer.
        """
        answer = b""
        with selectors.DefaultSelector() as answers:
            answers.register(self._stdout, selectors.EVENT_READ)
            if answers.select(self._plan.ready_timeout_s + ANSWER_S):
                answer = self._stdout.readline()
        if not answer:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=1)
            code = self._process.returncode
            raise StackFailed(
                "The stack's supervisor "
                + ("does not answer." if code is None else f"ended with exit code {code}.")
            )
        report = Report.model_validate_json(answer)
        if report.error is not None:
            raise from_record(report.error)
        return report

    def wait(self, timeout_s: float | None = None) -> int:
        """Waits until the supervisor ends; its exit code.

        Raises:
            TimeoutError: it has not after ``timeout_s`` seconds.
        """
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"the stack is still up after {timeout_s} s") from None

    def stop(self) -> None:
        """Lets go of the lifeline and waits until nothing of the stack is left."""
        self.release()
        try:
            self._process.wait(self._plan.grace_s + STOP_S)
        except (
            subprocess.TimeoutExpired
        ):  # frozen; its children go with it, where they are tethered
            self._process.kill()
            self._process.wait()

    def release(self) -> None:
        """Lets go of the lifeline; a detached supervisor goes on."""
        self._stdin.close()
        self._stdout.close()

    def reap(self) -> None:
        """Sees to it that a detached supervisor that ends is no zombie for as long as we live."""
        threading.Thread(target=self._process.wait, name="reaper", daemon=True).start()

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout
