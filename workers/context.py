"""What a worker process knows of itself: settings, the instance it serves, who it is."""

from __future__ import annotations

from dataclasses import dataclass, field

from ledger.redis_client import Ledger
from ledger.settings import InstanceSpec, Settings
from workers.births import Births
from workers.runner import Runner


@dataclass(slots=True)
class WorkerContext:
    """Hangs on the Celery app. The parent fills in ``spec`` and ``owner`` before it forks; each
    child makes its own ``runner``, with connections of its own.
    """

    settings: Settings
    spec: InstanceSpec | None = None
    owner: str = ""
    _ledger: Ledger | None = field(default=None, repr=False)
    _runner: Runner | None = field(default=None, repr=False)
    births: Births = field(default_factory=Births, repr=False)

    @property
    def instance(self) -> InstanceSpec:
        """The instance this process serves."""
        if self.spec is None:
            raise RuntimeError("no instance was chosen: the worker was not started with -Q")
        return self.spec

    @property
    def ledger(self) -> Ledger:
        """This process's ledger; connections are never shared across a fork."""
        if self._ledger is None:
            self._ledger = Ledger(self.settings.redis_url)
        return self._ledger

    @property
    def runner(self) -> Runner:
        """The pool child's runner."""
        if self._runner is None:
            raise RuntimeError("the backend was not loaded in this process")
        return self._runner

    def heed(self) -> None:
        """Has the job that this process runs, if it does, look whether it is still wanted."""
        if self._runner is not None:
            self._runner.heed()

    def become_child(self, runner: Runner) -> None:
        """Makes this process a pool child that runs jobs."""
        self._ledger, self._runner = runner.ledger, runner
