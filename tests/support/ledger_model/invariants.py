"""What must be so after every step, whatever happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain

from ledger import keys
from ledger.accounts import read_accounts
from ledger.answer import text_of
from ledger.messages import Event, State
from ledger.status import JobEntry, read_job
from ledger.stream import replay
from ledger.usage import read_tenants, read_usage
from tests.support.ledger_model.books import Books
from tests.support.ledger_model.job import Job
from tests.support.ledger_model.queues import Queues, read_queues
from tests.support.ledger_model.wake_up import id_of


def budgets_add_up(books: Books) -> None:
    models = list(books.accounts.values())
    found = books.ledger.run(read_accounts([model.level for model in models]))
    for model, account in zip(models, found, strict=True):
        own = [job for job in books.jobs.values() if model.level in job.levels]
        held = sum(job.held for job in own if not job.state.terminal)
        assert (account.used, account.held) == (sum(job.cost for job in own), held), model.level
        assert (account.used, account.held) == (model.used, model.held), model.level
        rows = [(None, account.limit, account.used)]
        rows += [(one.window, one.limit, one.used) for one in account.windows]
        seen = {window: (limit, used) for window, limit, used in rows if limit is not None}
        assert seen == {
            window: (limit, model.used_in(window)) for window, limit in model.limits.items()
        }, model.level
        assert all(used + held <= limit for limit, used in seen.values()), model.level


def idle_sessions_and_episodes_go_and_no_other_level(books: Books) -> None:
    pipe = books.redis.pipeline(transaction=False)
    for model in books.accounts.values():
        pipe.pttl(model.level.key)
    for model, ttl_ms in zip(books.accounts.values(), pipe.execute(), strict=True):
        goes = model.level.keep_s is not None and not model.held
        assert ttl_ms == -2 or (ttl_ms > 0) == goes, model.level


def jobs_are_what_they_should_be(books: Books) -> None:
    for job, (entry, ttl_ms) in entries(books):
        facts = entry.facts
        assert (
            facts.state,
            facts.instance,
            facts.fence,
            facts.made,
            facts.failures,
            facts.stop,
            facts.prompt_tokens,
            facts.held,
        ) == (
            job.state,
            job.instance,
            job.fence,
            job.made,
            job.failures,
            job.stop,
            job.prompt,
            0 if job.state.terminal else job.held,
        ), job
        assert facts.state.terminal or facts.made + facts.prompt_tokens <= facts.held, job
        assert (entry.result is not None) == job.state.terminal, job
        assert (ttl_ms > 0) == job.state.terminal, job  # what has ended goes, nothing else
        valid = [one for one in job.claims if one.fence == facts.fence]
        assert len(valid) <= 1, job
        if entry.result is not None:
            record = entry.result.model_dump_json()
            assert entry.result.text == job.text, job
            job.record = job.record or record
            assert record == job.record, job


def streams_have_no_gap_and_one_end(books: Books) -> None:
    pipe = books.redis.pipeline(transaction=False)
    for job in books.jobs.values():
        pipe.xrange(keys.stream(job.id))
    for job, entries in zip(books.jobs.values(), pipe.execute(), strict=True):
        assert [name for name, _ in entries] == [f"{n}-0" for n in range(1, len(entries) + 1)]
        events = [Event.model_validate_json(fields["e"]) for _, fields in entries]
        assert [event.kind for event in events] == job.kinds, job
        assert job.kinds.count("end") == job.state.terminal, job
        assert "end" not in job.kinds[:-1], job
        assert text_of(events) == job.text, job
        tokens = sum(event.tokens for event in events)
        assert tokens == job.made, job


def each_job_is_in_the_one_place_of_its_state(books: Books, queues: Queues) -> None:
    where: dict[str, list[str]] = {job_id: [] for job_id in books.jobs}
    for name in books.places:
        waiting = [job_id for job_id, _ in queues.waiting[name]]
        sets = {"waiting": waiting, "woken": queues.woken[name], "running": queues.running[name]}
        for kind, job_ids in sets.items():
            for job_id in job_ids:
                assert books.jobs[job_id].instance == name
                where[job_id].append(kind)
    for job_id in queues.delayed:
        where[job_id].append("delayed")
    on_their_way = {wakeup.job_id for wakeup in books.hand} | books.dropped
    on_their_way |= {id_of(raw) for raw in chain(*queues.lists.values())}
    for job in books.jobs.values():
        if job.state is State.QUEUED:
            assert where[job.id] == (["delayed"] if job.delayed else where[job.id]), job
            assert where[job.id] in (["waiting"], ["woken"], ["delayed"]), job
            assert where[job.id] != ["woken"] or job.id in on_their_way, job
        else:
            assert where[job.id] == (["running"] if job.state is State.RUNNING else []), job


def the_lists_are_short_and_topped_up(books: Books, queues: Queues) -> None:
    for place in books.places.values():
        scores = queues.waiting[place.name]
        waiting = Counter(books.jobs[job_id].band for job_id, _ in scores)
        for band, name in enumerate(place.lists):
            found = queues.lists[name]
            pushed = [raw for raw in found if '"again.' not in raw]
            given_back = [raw for raw in pushed if books.jobs[id_of(raw)].again]
            assert len(pushed) - len(given_back) <= place.slots + 1, (place, band)
            if waiting[band]:
                assert len(found) + place.popped[band] >= place.slots + 1, (place, band)
        for job_id, score in scores:
            assert int(score) // 2**50 == books.jobs[job_id].band
            assert score == int(score)


def a_tenants_jobs_of_one_priority_stay_in_their_order(books: Books, queues: Queues) -> None:
    order = {job_id: number for number, job_id in enumerate(books.jobs)}
    for name in books.places:
        lanes: dict[tuple[int, str], list[int]] = {}
        for job_id, _ in queues.waiting[name]:
            job = books.jobs[job_id]
            if "requeued" not in job.kinds:
                lanes.setdefault((job.band, job.request.tenant), []).append(order[job_id])
        for lane in lanes.values():
            assert lane == sorted(lane)


def entries(books: Books) -> Iterator[tuple[Job, tuple[JobEntry, int]]]:
    """Each job, and what the ledger says of it: its entry and its time to live in ms."""
    if not books.jobs:
        return
    found = books.ledger.run_many([read_job(job_id) for job_id in books.jobs])
    pipe = books.redis.pipeline(transaction=False)
    for job_id in books.jobs:
        pipe.pttl(keys.job(job_id))
    for job, entry, ttl_ms in zip(books.jobs.values(), found, pipe.execute(), strict=True):
        assert isinstance(entry, JobEntry)
        yield job, (entry, ttl_ms)


def all_is_right(books: Books) -> None:
    """What must be so after every step."""
    budgets_add_up(books)
    idle_sessions_and_episodes_go_and_no_other_level(books)
    jobs_are_what_they_should_be(books)
    streams_have_no_gap_and_one_end(books)
    queues = read_queues(books)
    each_job_is_in_the_one_place_of_its_state(books, queues)
    the_lists_are_short_and_topped_up(books, queues)
    a_tenants_jobs_of_one_priority_stay_in_their_order(books, queues)


def all_is_at_rest(books: Books) -> None:
    """Every job has ended: nothing is held, and nothing but Celery's own lists knows of one."""
    all_is_right(books)
    usage_adds_up(books)
    for level in books.accounts:
        assert int(books.redis.hget(level, "held") or 0) == 0
    for name in books.places:
        for key in (keys.waiting, keys.woken, keys.running):
            assert books.redis.zcard(key(name)) == 0
    for job in books.jobs.values():
        assert text_of(replay(books.ledger, job.id)) == job.text


def usage_adds_up(books: Books) -> None:
    expected: Counter[tuple[str, str, str]] = Counter()
    for job in books.jobs.values():
        if job.claims:
            expected[job.request.tenant, job.request.agent_id, "mock"] += job.cost
    found: Counter[tuple[str, str, str]] = Counter()
    tenants, today = books.ledger.run(read_tenants())
    for tenant in tenants:
        for one in books.ledger.run(read_usage(tenant, [today - 1, today])):
            found[one.tenant, one.agent, one.model] += one.prompt_tokens + one.completion_tokens
    assert +found == +expected
