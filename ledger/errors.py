"""Every error that apexq raises on purpose: one root, one sentence each, facts as attributes."""

from __future__ import annotations

from typing import Any

from ledger import windows
from ledger.windows import Window

LONGEST_TEXT = 2000  # characters of a message in a record; libraries may quote a whole prompt


class _Facts(dict[str, Any]):
    """Facts for a sentence; one that is missing, as in a damaged record, is no second error."""

    def __missing__(self, name: str) -> str:
        return "?"


class ApexError(Exception):
    """Root of all errors of apexq.

    ``code`` is stable and travels in results, `--json` output and HTTP bodies.
    """

    code = "apex_error"
    of_the_request = True  # so that ``said`` may quote it
    default = "apexq could not do this."

    # Positional only: a fact may have any name.
    def __init__(self, message: str | None = None, /, **facts: Any) -> None:
        self.message = message or self.default.format_map(_Facts(facts))
        self.facts = facts
        super().__init__(self.message)

    @property
    def unquoted(self) -> str:
        """The message, with … for words of others (``said``) where these may quote a prompt."""
        said = self.facts.get("said") if self.of_the_request else None
        if not said or said not in self.message:
            return self.message
        before, _, behind = self.message.rpartition(said)
        return f"{before}…{behind}"

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["facts"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.facts)


def _rebuild(cls: type[ApexError], message: str, facts: dict[str, Any]) -> ApexError:
    return cls(message, **facts)


class InvalidRequest(ApexError):
    """The request was refused before anything was written."""

    code = "invalid_request"
    default = "The request is not valid; nothing was enqueued."


class InvalidSetting(ApexError):
    """A setting is unknown or has a value that cannot be used."""

    code = "invalid_setting"
    default = "A setting is not valid; see docs/settings.md."


class BudgetExceeded(ApexError):
    """A token budget has no room for this request, so it was denied as a whole.

    Attributes: ``scope`` (``tenant:acme``), ``limit``, ``used``, ``held``, ``requested`` (tokens);
    ``window``: ``hour``, ``day``, ``month``, or None where a total is used up; ``resets_at`` (UTC,
    as ISO 8601) and ``retry_after_s``: when that window opens anew, or None.
    """

    code = "budget_exceeded"
    default = "The token budget of {scope} has no room for this request."

    @classmethod
    def of(
        cls,
        scope: str,
        limit: int,
        used: int,
        held: int,
        requested: int,
        *,
        window: Window | None = None,
        now_ms: int = 0,
    ) -> BudgetExceeded:
        """The error with its sentence; ``now_ms``: Redis' time."""
        per = f" {'an' if window == 'hour' else 'a'} {window}" if window else ""
        said = [
            f"{scope} has used {used:,} and holds {held:,} of {limit:,} tokens{per}; "
            f"{requested:,} more do not fit."
        ]
        opens = windows.next_turn(window, now_ms) if window else None
        if window and requested <= limit:
            said.append(f"The window opens anew {windows.opening(window, now_ms)}.")
        elif window:
            said.append("Lower max_tokens or raise the budget.")
        else:
            said.append("Lower max_tokens, wait for jobs to end, or raise the budget.")
        return cls(
            " ".join(said),
            scope=scope,
            limit=limit,
            used=used,
            held=held,
            requested=requested,
            window=window,
            resets_at=opens and opens.isoformat(),
            retry_after_s=opens and round(windows.seconds_until(opens, now_ms), 3),
        )


class EpisodeOver(ApexError):
    """The episode's deadline has passed; ``episode_id``."""

    code = "episode_over"
    default = "Episode {episode_id} is past its deadline; open a new episode or give it more time."


class QueueFull(ApexError):
    """No more jobs may wait for the instance; ``instance``, ``waiting``, ``retry_after_s`` (from
    its average run and what waits: a hundredth of it has run by then).
    """

    code = "queue_full"
    default = "{instance} has {waiting} jobs waiting, its maximum; try again in {retry_after_s} s."


class NoInstance(ApexError):
    """No worker serves what the request needs."""

    code = "no_instance"
    default = (
        "No live instance: start one with `celery -A workers worker -Q inst0` or `apexq up`; "
        "nothing was enqueued."
    )


class Rerouted(NoInstance):
    """The agent has another home since the registry was read; ``instance``: its former one."""

    code = "rerouted"
    default = "Instances came or went, so {instance} did not take this job; submit it again."


class UnknownModel(ApexError):
    """No registered instance serves this model; ``model``, ``known``."""

    code = "unknown_model"
    default = "No instance serves the model {model!r}; registered: {known}."


class IdempotencyConflict(ApexError):
    """The idempotency key was used before with another request; ``job_id``."""

    code = "idempotency_conflict"
    default = (
        "This idempotency key belongs to job {job_id} with a different request; use a new key."
    )


class JobNotFound(ApexError):
    """There is no such job, or it has been removed after its retention time; ``job_id``."""

    code = "job_not_found"
    default = "Job {job_id} is not in the ledger; check the id, or its retention time has passed."


class CorruptEntry(ApexError):
    """What Redis holds under a ledger key is not what the ledger writes there; ``job_id``."""

    code = "corrupt_entry"
    default = "The ledger entry of job {job_id} is damaged; submit the request again."


class RedisUnavailable(ApexError):
    """Redis does not answer, or does not do what it is asked: its memory is full, it cannot save,
    it is a replica, it refuses the user; ``url`` (without the password), ``reason``.
    """

    code = "redis_unavailable"
    default = (
        "Redis at {url} does not answer ({reason}); check REDIS_URL and that the server runs, "
        "or start one with `apexq up`."
    )


class ResultTimeout(ApexError, TimeoutError):
    """The caller's patience ended before the job, which goes on; ``job_id``, ``timeout_s``."""

    code = "result_timeout"
    default = (
        "Job {job_id} has not ended after {timeout_s} s; "
        "it goes on: ask again with client.job(id), or cancel it."
    )


class JobFailed(ApexError):
    """The job ended without a result; ``job_id``."""

    code = "job_failed"
    default = "Job {job_id} failed."


class JobCancelled(JobFailed):
    """The job was cancelled; ``job_id``."""

    code = "cancelled"
    default = "Job {job_id} was cancelled."


class JobDead(JobFailed):
    """The job used up its attempts; ``job_id``, ``attempts``, ``reason`` (of the last one),
    ``history`` (of each: ``attempt``, ``at``, ``instance``, ``reason``).
    """

    code = "dead"
    default = "Job {job_id} was given up after {attempts} attempts; the last one: {reason}."


class DeadlineExceeded(JobFailed):
    """The job passed one of its time limits, or its episode did.

    Attributes: ``limit``: the option that sets it, ``timeout_s``, ``first_token_timeout_s``,
    ``token_timeout_s``, ``queue_timeout_s`` or ``episode``; ``timeout_s``: its seconds; ``scope``:
    ``job``, or ``episode:night-1``.
    """

    code = "deadline_exceeded"
    default = "The job ran for longer than its {timeout_s} s; raise timeout_s or lower max_tokens."


class JobExpired(DeadlineExceeded):
    """The job waited longer than it may; as :class:`DeadlineExceeded`, of ``queue_timeout_s``."""

    code = "expired"
    default = (
        "The job waited in the queue for longer than its {timeout_s} s; "
        "raise queue_timeout_s or its priority, or start more instances."
    )


class BackendError(JobFailed):
    """The model's library or server reported an error; ``backend``, ``retriable``: another attempt
    may succeed, after ``retry_after_s`` if it has that; ``said``: its own words, where it has some.
    """

    code = "backend_error"
    default = "The backend reported an error."
    passes = False  # whether it is retriable where nothing else is said

    def __init__(self, message: str | None = None, /, **facts: Any) -> None:
        super().__init__(message, **{"retriable": self.passes, **facts})


class ContextTooLong(BackendError):
    """The prompt does not fit the model's window; ``prompt_tokens``, ``window``."""

    code = "context_too_long"
    default = (
        "The prompt has {prompt_tokens} tokens and the window {window}; "
        "shorten it or raise APEX_LLM_CTX_TOKENS."
    )


class ContentRefused(BackendError):
    """The provider or its model declined to answer; ``backend``, ``said`` (its words)."""

    code = "refused"
    default = "The provider refused the request ({said}); change what is asked."


class BackendAuth(BackendError):
    """The provider does not accept the key, or the key may not do this; ``backend``, ``said``;
    ``unpaid``: the key is well, and its account is empty.
    """

    of_the_request = False
    code = "backend_auth"
    default = "The provider does not accept the key ({said}); check LLM_API_KEY."

    def __init__(self, message: str | None = None, /, **facts: Any) -> None:
        if facts.get("unpaid"):
            self.default = "The account has nothing left to spend ({said}); see to its billing."
        super().__init__(message, **facts)


class ModelNotFound(BackendError):
    """The server does not have this model; ``backend``, ``model``, ``said``."""

    of_the_request = False
    code = "model_not_found"
    default = "The server does not have the model {model!r} ({said}); check its name."


class RateLimited(BackendError):
    """The provider takes no more requests for a while; ``backend``, ``retry_after_s``, ``said``.

    It spends no attempt: the instance starts no job until that is over.
    """

    passes = True
    of_the_request = False
    code = "rate_limited"
    default = "The provider takes no more requests for {retry_after_s} s ({said})."


class ServerAway(BackendError):
    """Nobody listens where the model's server should be; ``backend``, ``said``.

    Where the model has none to fall back on, it spends no attempt: the instance starts no job for
    some seconds.
    """

    passes = True
    of_the_request = False
    code = "server_away"
    default = "The model's server is not there ({said}); start it."


class UnknownBackend(ApexError):
    """There is no backend of this name; ``backend``, ``known``."""

    code = "unknown_backend"
    default = "There is no backend {backend!r}; known: {known}."


class BackendMissing(ApexError):
    """The backend's library is not installed; ``backend``, ``extra``."""

    code = "backend_missing"
    default = "The backend {backend} needs its library: pip install 'apexq[{extra}]'."


class DoesNotFit(ApexError):
    """The instances do not fit into memory; ``place``, ``instances``, ``needed_gb``,
    ``available_gb``, ``arithmetic`` (lines).
    """

    code = "does_not_fit"
    default = (
        "{instances} instances need {needed_gb} GB and {available_gb} GB of {place} are left; "
        "start fewer, lower APEX_LLM_CTX_TOKENS, take a smaller model, or go on with --force "
        "(APEX_MEMORY_CHECK=0)."
    )


class InstanceTaken(ApexError):
    """Another worker serves this queue; ``instance``, ``node``, ``pid``."""

    code = "instance_taken"
    default = (
        "{instance} is already served by {node} (pid {pid}): "
        "an instance has one worker; stop that one or choose another queue."
    )


class StackFailed(ApexError):
    """Redis and workers on this machine could not be started, kept up or stopped."""

    code = "stack_failed"
    default = "The local stack did not come up."


def _by_code(root: type[ApexError]) -> dict[str, type[ApexError]]:
    found = {root.code: root}
    for sub in root.__subclasses__():
        found |= _by_code(sub)
    return found


def from_record(record: dict[str, Any]) -> ApexError:
    """The error that a terminal record describes (``code``, ``message``, ``facts``)."""
    cls = _by_code(ApexError).get(str(record.get("code")), JobFailed)
    return cls(str(record.get("message") or "") or None, **dict(record.get("facts") or {}))


def to_record(error: ApexError) -> dict[str, Any]:
    """``error`` as JSON-able facts; the reverse of :func:`from_record`. Long texts are cut off."""
    facts = {
        name: _cut(fact) if isinstance(fact, str) else fact for name, fact in error.facts.items()
    }
    return {"code": error.code, "message": _cut(error.message), "facts": facts}


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"
