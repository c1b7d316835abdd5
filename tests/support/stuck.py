"""``celery -A tests.support.stuck worker …``: a worker whose event loop stands still soon."""

from __future__ import annotations

import os
from typing import Any

from celery import bootsteps

from workers import app, pulse

STUCK_AFTER_S = 1.0

pulse.MOST_STILL = 4


class StuckStep(bootsteps.StartStopStep):
    """Reads from a pipe that nobody writes to, in the loop."""

    def register_with_event_loop(self, worker: Any, hub: Any) -> None:
        reader, _ = os.pipe()
        hub.call_later(STUCK_AFTER_S, os.read, reader, 1)


app.steps["worker"].add(StuckStep)
