"""What a terminal record means to a caller: a result, or the error that the job ended with."""

from __future__ import annotations

from ledger.errors import ApexError, JobFailed, from_record
from ledger.messages import Result, State


def raise_unless_succeeded(result: Result) -> Result:
    """``result`` if it is one, otherwise raises what the job ended with."""
    if result.state is not State.SUCCEEDED:
        raise error_of(result)
    return result


def error_of(result: Result) -> ApexError:
    """What a job that did not succeed ended with; ``.job_id`` is among its facts."""
    if result.error is None:
        return JobFailed(job_id=result.job_id)
    facts = {**result.error.get("facts", {}), "job_id": result.job_id}
    return from_record({**result.error, "facts": facts})
