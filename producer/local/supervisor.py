"""The process that owns a stack: Valkey and the workers are its children, and go with it.

``python -m producer.local.supervisor`` reads a :class:`Plan` from its standard input, which is then
its lifeline: at the end of that file the caller is gone, and the stack is stopped. It writes one
:class:`Report` to its standard output.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ledger.errors import ApexError, StackFailed, to_record
from ledger.redis_client import AsyncLedger
from producer.local.child import Child
from producer.local.lifeline import Lifeline
from producer.local.plan import INSTANCE, Plan, Report
from producer.local.readiness import Readiness
from producer.local.state import State, StateDir
from producer.local.upkeep import how, keep_up
from producer.local.valkey import start_valkey

log = logging.getLogger(__name__)

WORKER_PATIENCE_S = 10.0
VALKEY_PATIENCE_S = 5.0


class Supervisor:
    """Brings a stack up, keeps it up, and stops it."""

    def __init__(self, plan: Plan, tell: Callable[[Report], None]) -> None:
        self._plan, self._tell = plan, tell
        self._place = StateDir(plan.state_dir) if plan.state_dir else None
        self._valkey: Child | None = None
        self._workers: list[Child] = []
        self._pending: list[str] = []

    async def serve(self) -> None:
        """Tells that the stack is ready, and keeps it up until this is cancelled.

        Raises:
            StackFailed: it did not come up, or its Redis is gone for good.
        """
        try:
            async with asyncio.timeout(self._plan.ready_timeout_s):
                url = await self._bring_up()
        except TimeoutError:
            raise self._too_late() from None
        if self._place:
            self._place.write(
                State(
                    pid=os.getpid(),
                    started_at=time.time(),
                    redis_url=url,
                    instances=self._plan.instances,
                    log_dir=self._place.log,
                )
            )
        children = [self._valkey, *self._workers] if self._valkey else self._workers
        self._tell(Report(redis_url=url, pids={child.name: child.pid for child in children}))
        await keep_up(self._workers, self._valkey, with_data=self._place is not None)

    async def stop(self) -> None:
        """Stops the workers, then Valkey, which they still need to say goodbye."""
        await asyncio.gather(*(child.stop(WORKER_PATIENCE_S) for child in self._workers))
        if self._valkey:
            await self._valkey.stop(VALKEY_PATIENCE_S)
        if self._place:
            self._place.clear()

    async def _bring_up(self) -> str:
        url = self._plan.redis_url
        if self._place:
            self._place.hold()
        if url is None:
            self._valkey, url = await start_valkey(
                self._plan.port, self._place.data if self._place else None, self._log_of("valkey")
            )
        env = {**os.environ, "REDIS_URL": url}
        for name in self._plan.instances:
            command = [part.replace(INSTANCE, name) for part in self._plan.worker]
            child = Child(name, command, env, self._log_of(name))
            self._workers.append(child)
            await child.start()
        ledger = AsyncLedger(url)
        try:
            await self._ready(ledger)
        finally:
            await ledger.close()
        return url

    async def _ready(self, ledger: AsyncLedger) -> None:
        readiness = Readiness(ledger, {child.name: child.pid for child in self._workers})
        ready = asyncio.create_task(readiness.wait())
        ends = {asyncio.create_task(child.wait()): child for child in self._workers}
        try:
            done, _ = await asyncio.wait({ready, *ends}, return_when=asyncio.FIRST_COMPLETED)
            if ready in done:
                return ready.result()
            await readiness.look()  # one that could not load its model says more than its output
            ended = next(child for task, child in ends.items() if task in done)
            raise _ended_early(ended, await ended.wait())
        finally:
            self._pending = list(readiness.pending)
            for task in (ready, *ends):
                task.cancel()

    def _too_late(self) -> StackFailed:
        late = [child for child in self._workers if child.name in self._pending]
        names = ", ".join(child.name for child in late) or "Redis"
        last = next((child.last_line() for child in late if child.last_line()), "")
        return StackFailed(
            f"Not ready after {self._plan.ready_timeout_s:g} s: {names}"
            + (f"; the last line of its output: {last}" if last else "; give it more time.")
        )

    def _log_of(self, name: str) -> Path | None:
        return self._place.log / f"{name}.log" if self._place else None


def _ended_early(child: Child, code: int) -> StackFailed:
    last = child.last_line().removeprefix("apexq: ") or "it printed nothing."
    return StackFailed(f"Instance {child.name} ended before it was ready ({how(code)}): {last}")


def main() -> int:
    """Runs one stack; 0 if it was stopped, 1 if it failed."""
    logging.basicConfig(format="apexq: %(message)s")
    with open(0, "rb", buffering=0, closefd=False) as lifeline:
        line = lifeline.readline()
    if not line:  # the caller died between starting this and saying what for
        return 1
    return asyncio.run(_run(Plan.model_validate_json(line)))


async def _run(plan: Plan) -> int:
    told = False

    def tell(report: Report) -> None:
        nonlocal told
        told = True
        if plan.detached and report.error is None:
            lifeline.cut()
        with suppress(BrokenPipeError):
            os.write(1, report.model_dump_json().encode() + b"\n")

    supervisor = Supervisor(plan, tell)
    serving = asyncio.create_task(supervisor.serve())
    lifeline = Lifeline(0, plan.caller_pid, serving.cancel)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    try:
        await serving
    except asyncio.CancelledError:
        return 0
    except ApexError as error:
        if told:
            log.error("%s", error)
        else:
            tell(Report(error=to_record(error)))
    finally:
        await supervisor.stop()
    return 1


if __name__ == "__main__":
    sys.exit(main())
