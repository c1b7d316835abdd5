"""Readers of a job's stream: one that follows, a slow one, one that leaves and comes back."""

from __future__ import annotations

import threading
from random import Random

from ledger.answer import text_of
from ledger.messages import Event
from producer import ApexError, Job, JobNotFound, RedisUnavailable
from tests.torture.asked import Asked
from tests.torture.journal import Read

SLOW_S = 0.02  # that a slow reader takes for each event
PAUSE_S = 0.2  # before a reader asks a Redis again that did not answer
STAYS = 0.85  # chance that a reader which reconnects reads one more event first


class Reader:
    """Reads one job to its end, whatever happens to Redis meanwhile."""

    def __init__(self, job: Job, asked: Asked, random: Random) -> None:
        self._job, self._asked, self._random = job, asked, random
        self._seen: dict[int, Event] = {}
        self._differs: list[int] = []
        self._reconnects = 0
        self._pause = threading.Event()  # never set: for pauses

    def read(self) -> Read:
        """What it has in the end."""
        cancelled = self._asked.kind != "cancel"
        while True:
            try:
                if not cancelled and len(self._seen) >= self._asked.cancel_after:
                    self._job.cancel()
                    cancelled = True
                if self._once(wants_to_cancel=not cancelled):
                    return self._result("succeeded")
            except RedisUnavailable:
                self._reconnects += 1
                self._pause.wait(PAUSE_S)
            except JobNotFound:
                return self._result("job_not_found")
            except ApexError as error:
                return self._result(error.code)

    def _once(self, *, wants_to_cancel: bool) -> bool:
        """Reads until the end (True), or until it leaves."""
        last = max(self._seen, default=0)
        comes_back = self._asked.way == "reconnect"
        after = self._random.randint(0, last) if comes_back else last
        for event in self._job.stream(after=after):
            self._note(event)
            if self._asked.way == "slow":
                self._pause.wait(SLOW_S)
            if wants_to_cancel and len(self._seen) >= self._asked.cancel_after:
                return False
            if comes_back and self._random.random() > STAYS:
                self._reconnects += 1
                return False
        return True

    def _note(self, event: Event) -> None:
        if self._seen.setdefault(event.seq, event) != event:
            self._differs.append(event.seq)

    def _result(self, end: str) -> Read:
        text = text_of(self._seen[seq] for seq in sorted(self._seen))
        return Read(text, end, self._reconnects, self._differs)
