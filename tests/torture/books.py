"""What the ledger holds of every job that was accepted, read once the run is at rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ledger import keys
from ledger.messages import Event, Result
from tests.torture.asked import Asked
from tests.torture.journal import Entry

AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Job:
    """One accepted job: what was asked and read, and what the ledger has."""

    producer: int
    asked: Asked
    entry: Entry
    fields: dict[str, str]
    result: Result | None
    events: list[Event]

    @property
    def id(self) -> str:
        return self.entry.job_id

    @property
    def state(self) -> str:
        return self.fields.get("state", "gone")

    def number(self, field: str) -> int:
        """A number of its hash, 0 where it has none."""
        return int(self.fields.get(field, 0))


Accepted = tuple[int, Asked, Entry]


def read_jobs(client: Any, accepted: Iterable[Accepted]) -> Iterator[Job]:
    """What there is of each."""
    rest = list(accepted)
    while rest:
        some, rest = rest[:AT_ONCE], rest[AT_ONCE:]
        pipe = client.pipeline(transaction=False)
        for _, _, entry in some:
            pipe.hgetall(keys.job(entry.job_id))
            pipe.get(keys.result(entry.job_id))
            pipe.xrange(keys.stream(entry.job_id))
        answers = iter(pipe.execute())
        for (producer, asked, entry), fields, record, stream in zip(
            some, answers, answers, answers, strict=False
        ):
            yield Job(producer, asked, entry, fields, _result(record), _events(stream))


def _result(record: str | None) -> Result | None:
    try:
        return Result.model_validate_json(record) if record else None
    except ValidationError:
        return None


def _events(stream: list[Any]) -> list[Event]:
    events = []
    for entry_id, fields in stream:
        event = Event.model_validate_json(fields["e"])
        events.append(event.model_copy(update={"seq": int(entry_id.partition("-")[0])}))
    return events
