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
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ledger.errors import ApexError, StackFailed, to_record
from ledger.redis_client import AsyncLedger
from ledger.settings import load_settings
from producer.fit import fits_of
from producer.local.child import Child
from producer.local.lifeline import Lifeline
from producer.local.plan import INSTANCE, Plan, Report, scaled
from producer.local.readiness import Readiness
from producer.local.state import State, StateDir
from producer.local.upkeep import Upkeep, how
from producer.local.valkey import start_valkey

log = logging.getLogger(__name__)

WORKER_PATIENCE_S = 5.0  # beyond its grace period
VALKEY_PATIENCE_S = 5.0


class Supervisor:
    """Brings a stack up, keeps it up, and stops it."""

    def __init__(self, plan: Plan, tell: Callable[[Report], None]) -> None:
        self._plan, self._tell = plan, tell
        self._place = StateDir(plan.state_dir) if plan.state_dir else None
        self._valkey: Child | None = None
        self._workers: list[Child] = []
        self._pending: list[str] = []
        self._patience_s = plan.grace_s + WORKER_PATIENCE_S
        self._state: State | None = None
        self._granting = asyncio.Lock()
        self._upkeep: Upkeep

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
        self._upkeep = Upkeep(self._valkey, with_data=self._place is not None)
        for worker in self._workers:
            self._upkeep.keep(worker)
        if self._place:
            self._state = State(
                pid=os.getpid(),
                started_at=time.time(),
                redis_url=url,
                instances=self._plan.instances,
                log_dir=self._place.log,
            )
            self._place.write(self._state)
        children = [self._valkey, *self._workers] if self._valkey else self._workers
        self._tell(Report(redis_url=url, pids={child.name: child.pid for child in children}))
        await self._upkeep.wait()

    async def grant(self) -> None:
        """Looks at the wish that somebody left, and answers it in the state file."""
        async with self._granting:
            wish = self._place.read_wish() if self._place else None
            if self._place is None or self._state is None or wish is None:
                return
            if wish.id == self._state.answered:
                return
            error = None
            try:
                await self._scale(wish.instances, self._state.redis_url)
            except ApexError as failed:
                error = to_record(failed)
            names = tuple(worker.name for worker in self._workers)
            answer = {"answered": wish.id, "error": error, "instances": names}
            self._state = self._state.model_copy(update=answer)
            self._place.write(self._state)

    async def stop(self) -> None:
        """Stops the workers, then Valkey, which they still need to say goodbye."""
        await asyncio.gather(*(child.stop(self._patience_s) for child in self._workers))
        if self._valkey:
            await self._valkey.stop(VALKEY_PATIENCE_S)
        if self._place:
            self._place.clear()

    async def _scale(self, wanted: int, url: str) -> None:
        settings = scaled(load_settings(redis_url=url), wanted)
        names = [spec.name for spec in settings.instances]
        for worker in [one for one in self._workers if one.name not in names]:
            self._workers.remove(worker)
            self._upkeep.let_go(worker)
            await worker.stop(self._patience_s)
        up = [worker.name for worker in self._workers]
        for fit in fits_of(settings, up=up) if settings.memory_check else ():
            fit.require()
        new = [await self._start(name, settings.to_env()) for name in names if name not in up]
        try:
            async with asyncio.timeout(self._plan.ready_timeout_s):
                await self._await_ready(url, new)
        except BaseException as error:
            await asyncio.gather(*(worker.stop(self._patience_s) for worker in new))
            self._workers = [worker for worker in self._workers if worker not in new]
            if isinstance(error, TimeoutError):
                raise self._too_late() from None
            raise
        for worker in new:
            self._upkeep.keep(worker)

    async def _start(self, name: str, env: Mapping[str, str]) -> Child:
        command = [part.replace(INSTANCE, name) for part in self._plan.worker]
        worker = Child(name, command, {**os.environ, **env}, self._log_of(name))
        self._workers.append(worker)
        await worker.start()
        return worker

    async def _await_ready(self, url: str, workers: Sequence[Child]) -> None:
        ledger = AsyncLedger(url)
        try:
            await self._ready(ledger, workers)
        finally:
            await ledger.close()

    async def _bring_up(self) -> str:
        url = self._plan.redis_url
        if self._place:
            self._place.hold()
        if url is None:
            self._valkey, url = await start_valkey(
                self._plan.port, self._place.data if self._place else None, self._log_of("valkey")
            )
        for name in self._plan.instances:
            await self._start(name, {"REDIS_URL": url})
        await self._await_ready(url, self._workers)
        return url

    async def _ready(self, ledger: AsyncLedger, workers: Sequence[Child]) -> None:
        readiness = Readiness(ledger, {child.name: child.pid for child in workers})
        ready = asyncio.create_task(readiness.wait())
        ends = {asyncio.create_task(child.wait()): child for child in workers}
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
    wishes: set[asyncio.Task[None]] = set()
    asyncio.get_running_loop().add_signal_handler(
        signal.SIGHUP, lambda: wishes.add(asyncio.create_task(supervisor.grant()))
    )
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
