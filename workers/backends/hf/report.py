"""Why transformers could not take a model's weights: its own error only points to its log."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

LOGGER = "transformers.modeling_utils"
CAUSE = re.compile(r"^(?:\w+\.)*\w*Error: (.+)$", re.MULTILINE)  # the end of a traceback


@contextmanager
def with_its_cause() -> Iterator[None]:
    """Raises what happened to a weight, such as that the GPU has no memory left for it, in place of
    an error that refers to the log.
    """
    logger, report = logging.getLogger(LOGGER), _Report()
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    logger.addHandler(report)
    try:
        yield
    except RuntimeError as error:
        if report.cause is None:
            raise
        raise RuntimeError(report.cause) from error
    finally:
        logger.removeHandler(report)
        logger.setLevel(level)  # not the attribute alone: what is enabled is remembered
        logger.propagate = propagate


class _Report(logging.Handler):
    """Keeps the first error that is logged."""

    cause: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        found = CAUSE.search(record.getMessage())
        if found and self.cause is None:
            self.cause = found[1]
