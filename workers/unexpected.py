"""What a model's library raises that no backend has foreseen."""

from __future__ import annotations

import logging
import traceback

from ledger.errors import BackendError
from workers.place import Place

log = logging.getLogger(__name__)

LONGEST_SAID = 300


def as_backend_error(error: Exception, place: Place, job_id: str) -> BackendError:
    """``error`` as one sentence; the log gets no words that may quote a prompt."""
    backend = place.spec.backend
    frames = "".join(traceback.format_tb(error.__traceback__))
    log.error("job %s: %s in the backend %s\n%s", job_id, type(error).__name__, backend, frames)
    if isinstance(error, MemoryError):
        return BackendError(
            f"The process of {place.spec.name} has no memory left for this job "
            "(MemoryError); raise APEX_MEMORY_LIMIT_MB, or shorten the prompt.",
            backend=backend,
            retriable=False,
        )
    said = " ".join(str(error).split())[:LONGEST_SAID]
    what = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return BackendError(
        f"The backend {backend} failed ({what}).", backend=backend, said=said, retriable=False
    )
