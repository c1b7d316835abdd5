"""The producers' processes. One that is killed is started again and goes on."""

from __future__ import annotations

import multiprocessing
import threading
import time
from random import Random

from tests.torture.journal import Entry, entries
from tests.torture.plan import Plan
from tests.torture.producing import produce

_processes = multiprocessing.get_context("spawn")


class Producers:
    """Starts all; each has a thread that keeps it up until its work is done."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._begun_at = time.time()
        self._processes = {number: self._start(number) for number in range(plan.producers)}
        self.failed: list[str] = []
        self._killed: set[int] = set()
        self._threads = [
            threading.Thread(target=self._keep_up, args=(number,), daemon=True)
            for number in self._processes
        ]
        for thread in self._threads:
            thread.start()

    @property
    def done(self) -> bool:
        """Whether all is submitted and read."""
        return not any(thread.is_alive() for thread in self._threads)

    def kill(self, random: Random) -> bool:
        """SIGKILL for one of them, whatever it is doing; False if none is at work."""
        at_work = [number for number, one in self._processes.items() if one.is_alive()]
        if not at_work:
            return False
        number = random.choice(at_work)
        self._killed.add(number)
        self._processes[number].kill()
        return True

    def entries(self) -> dict[int, dict[int, Entry]]:
        """The journals."""
        return {number: entries(self._plan.journal(number)) for number in self._processes}

    def stop(self) -> None:
        """Ends those that are still at work."""
        for number, process in self._processes.items():
            if process.is_alive():
                self.failed.append(f"producer {number} had not done its work")
                process.terminate()
                process.join()

    def _start(self, number: int) -> multiprocessing.process.BaseProcess:
        process = _processes.Process(
            target=produce, args=(self._plan, number, self._begun_at), daemon=True
        )
        process.start()
        return process

    def _keep_up(self, number: int) -> None:
        while True:
            process = self._processes[number]
            process.join()
            if number not in self._killed:
                if process.exitcode:
                    self.failed.append(f"producer {number} ended with {process.exitcode}")
                return
            self._killed.discard(number)
            self._processes[number] = self._start(number)
