"""A submitted job, seen from the caller's side."""

from __future__ import annotations

import time
from collections.abc import Iterator

from ledger import keys, status, stream
from ledger.errors import ApexError, JobNotFound, RedisUnavailable
from ledger.messages import Event, Result, State
from ledger.outage import Outage
from ledger.redis_client import Ledger
from ledger.status import JobStatus
from ledger.steps import drive
from ledger.stream import Patience
from producer.arguments import CURSOR, IDENTIFIER, check
from producer.operations import Operations
from producer.outcomes import error_of, raise_unless_succeeded


class Job:
    """A handle by id; ``client.job(id)`` makes another one, in any process.

    ``refused`` is the reason why a request of a bulk submit was not enqueued, otherwise None;
    waiting for a refused job raises it.
    """

    def __init__(
        self,
        job_id: str,
        ledger: Ledger,
        operations: Operations,
        refused: ApexError | None = None,
    ) -> None:
        check("job id", job_id, IDENTIFIER)
        self.id, self.refused = job_id, refused
        self._ledger, self._operations = ledger, operations

    def __repr__(self) -> str:
        return f"Job({self.id!r})"

    def stream(self, *, after: int = 0, timeout_s: float | None = None) -> Iterator[Event]:
        """Yields the answer as it is made: events with ``.text`` and ``.seq``, and from models that
        have them ``.reasoning`` and ``.tool_calls``, as deltas.

        May be called before, during and after the run, and again with ``after`` = the last ``seq``
        that was seen. An event of kind ``reset`` means that a retry begins anew; ``budget_low``
        comes once, without text, when ``.used`` of the episode's ``.limit`` tokens is 80 %.

        Raises:
            What the job ended with, as :meth:`result` does.
            JobNotFound, ResultTimeout (after ``timeout_s`` seconds), RedisUnavailable
        """
        check("after", after, CURSOR)
        self._require_accepted()
        for event in stream.follow(self._ledger, self.id, after=after, timeout_s=timeout_s):
            if event.kind in ("chunk", "reset", "budget_low"):
                yield event
            elif event.kind == "end" and event.state is not State.SUCCEEDED:
                raise error_of(self.outcome())

    def result(self, timeout: float | None = None) -> Result:
        """Waits for the end, at most ``timeout`` seconds, and returns the record.

        Raises:
            What the job ended with: JobFailed or one of its kinds, such as JobCancelled, or
            BudgetExceeded or InvalidRequest when its worker denied it.
            JobNotFound, ResultTimeout, RedisUnavailable
        """
        return raise_unless_succeeded(self.outcome(timeout))

    def outcome(self, timeout: float | None = None) -> Result:
        """As :meth:`result`, but the record of a job that failed is returned, not raised."""
        self._require_accepted()
        patience, outage = Patience(self.id, timeout), Outage()
        while True:
            try:
                return self._await_end(patience, outage)
            except RedisUnavailable as error:
                time.sleep(patience.slice_s(outage.pause_s(error)))

    def _await_end(self, patience: Patience, outage: Outage) -> Result:
        with self._ledger.subscription(keys.stream(self.id)) as announcements:
            while True:
                entry = self._ledger.run(status.read_job(self.id))
                outage.over()
                if entry is None:
                    raise JobNotFound(job_id=self.id)
                if entry.result is not None:
                    return entry.result
                while (said := announcements.next(patience.slice_s())) is not None:
                    if stream.is_end(said):
                        break

    def status(self) -> JobStatus:
        """State, position, ETA and reason.

        Raises:
            JobNotFound, RedisUnavailable
        """
        return drive(self._ledger, self._operations.status(self.id))

    def cancel(self) -> str:
        """Cancels the job; what it made is charged, the rest released.

        Returns:
            ``cancelled``, ``stopping`` (it runs, and ends in a moment), or the state it ended in.
        """
        return drive(self._ledger, self._operations.cancel(self.id))

    def _require_accepted(self) -> None:
        if self.refused is not None:
            raise self.refused
