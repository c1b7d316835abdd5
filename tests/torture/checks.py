"""What must hold once everything has ended. Each check yields one sentence for each thing wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from budgets import levels_of
from ledger import keys
from ledger.answer import text_of
from ledger.messages import State, parse_request
from ledger.settings import Settings
from tests.torture.asked import ENDS
from tests.torture.books import Job
from tests.torture.journal import ACCEPTED, Entry

Wrong = Iterator[str]
MAY_REFUSE = (ACCEPTED, "budget_exceeded")


def ended_once(jobs: Sequence[Job]) -> Wrong:
    """Every accepted job has one record, one terminal event, the last, and no gap before it."""
    for job in jobs:
        if job.result is None:
            yield f"job {job.id} ({job.asked.kind}) has no record; it is {job.state}"
            continue
        ends = [event for event in job.events if event.kind == "end"]
        if len(ends) != 1 or job.events[-1] is not ends[0]:
            yield f"job {job.id} has {len(ends)} terminal events in {len(job.events)}"
        elif not job.state == job.result.state == ends[0].state:
            yield (
                f"job {job.id} is {job.state}, its record says {job.result.state}, "
                f"its last event {ends[0].state}"
            )
        if [event.seq for event in job.events] != list(range(1, len(job.events) + 1)):
            yield f"job {job.id} has a gap in its stream"


def ended_as_asked(jobs: Sequence[Job], max_attempts: int) -> Wrong:
    """What was to succeed did, what was broken did not; who is dead had all its attempts."""
    for job in jobs:
        failed = sum(event.failed for event in job.events) + (job.state == State.DEAD)
        gave_up = job.state == State.DEAD and failed >= max_attempts
        if job.state not in ENDS[job.asked.kind] and not gave_up:
            error = job.result.error if job.result else None
            yield f"job {job.id} ({job.asked.kind}) is {job.state} after {failed} failures: {error}"


def texts(jobs: Sequence[Job]) -> Wrong:
    """Every reader's text is the record's, and that is the text of an undisturbed run."""
    said: dict[str, str] = {}
    for job in jobs:
        read, result = job.entry.read, job.result
        if result is None:
            continue
        if read is None:
            yield f"job {job.id} was not read to its end"
            continue
        if read.differs:
            yield f"job {job.id} was read twice and differs at events {read.differs[:5]}"
        if read.text != result.text:
            yield f"job {job.id} was read as {_short(read.text)}, stored is {_short(result.text)}"
        if text_of(job.events) != result.text:
            yield f"job {job.id} has another text in its stream than in its record"
        expected = job.asked.text
        if expected is None:
            expected = said.setdefault(job.asked.options["prompt"], result.text)
        if result.state == State.SUCCEEDED and result.text != expected:
            yield f"job {job.id} says {_short(result.text)} instead of {_short(expected)}"


def tokens(jobs: Sequence[Job]) -> Wrong:
    """What a job is charged is its prompt and what it emitted; nothing is held any more."""
    for job in jobs:
        emitted = sum(event.tokens for event in job.events if event.kind == "chunk")
        charged, prompt = job.number("cost"), job.number("prompt")
        counted = job.result.usage.completion_tokens if job.result else emitted
        if not emitted == job.number("made") == counted:
            yield f"job {job.id} emitted {emitted}, counted {job.number('made')} and {counted}"
        prompt = max(prompt, job.result.usage.prompt_tokens if job.result else 0)
        if charged != prompt + emitted:
            yield f"job {job.id} is charged {charged} for {prompt} read and {emitted} emitted"
        if job.number("held"):
            yield f"job {job.id} still holds {job.number('held')}"


def budgets(jobs: Sequence[Job], levels: dict[str, dict[str, str]], settings: Settings) -> Wrong:
    """Each level has used what its jobs were charged, and holds nothing."""
    owed: dict[str, int] = defaultdict(int)
    for job in jobs:
        options = {**job.asked.options}
        options.pop("idempotency_key")
        for level in levels_of(parse_request(**options), settings):
            owed[level.key] += job.number("cost")
    for key in owed.keys() | levels.keys():
        fields = levels.get(key, {})
        used, held = int(fields.get("used", 0)), int(fields.get("held", 0))
        if used != owed[key]:
            yield f"{key} has used {used}; its jobs were charged {owed[key]}"
        if held:
            yield f"{key} still holds {held}"


def order(jobs: Sequence[Job], overtaken: set[str]) -> Wrong:
    """Jobs of an agent and priority were taken as they came, where each ran once, undisturbed."""
    lines: dict[tuple[str, ...], list[Job]] = defaultdict(list)
    for job in jobs:
        if job.number("fence") == 1 and job.id not in overtaken:
            lines[*job.asked.line, job.fields["instance"]].append(job)
    for line, own in lines.items():
        own.sort(key=lambda job: job.asked.number)
        for before, after in pairwise(own):
            if before.number("claimed") > after.number("claimed"):
                late_ms = before.number("claimed") - after.number("claimed")
                yield f"{'/'.join(line)}: job {before.id} was taken {late_ms} ms after {after.id}"


def answers(entries: Sequence[Entry]) -> Wrong:
    """A submit was accepted, or denied by a budget; nothing else was ever said."""
    for entry in entries:
        if entry.answer not in MAY_REFUSE:
            yield f"job {entry.job_id} was refused: {entry.answer}"


def known(stored: set[str], entries: Sequence[Entry]) -> Wrong:
    """The ledger has the jobs that were accepted, and no other."""
    accepted = {entry.job_id for entry in entries if entry.accepted}
    for job_id in stored - accepted:
        yield f"job {job_id} is in the ledger, and nobody was told that it was accepted"


def stored_ids(names: Sequence[str]) -> set[str]:
    """The job ids among names of keys."""
    prefix = keys.job("")
    return {name.removeprefix(prefix) for name in names if name.startswith(prefix)}


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:40]}…{text[-20:]}")
