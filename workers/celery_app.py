"""The Celery app behind ``celery -A workers``."""

from __future__ import annotations

from collections.abc import Callable

from celery import Celery

from ledger.redis_client import CONNECTION
from ledger.settings import Settings
from workers.context import WorkerContext
from workers.guardian_step import GuardianStep
from workers.heartbeat import HeartbeatStep
from workers.reconciler import ReconcilerStep
from workers.revoke import replace_commands
from workers.startup import connect_signals
from workers.task import JobTask

SOCKET = {
    "socket_timeout": CONNECTION["socket_timeout"],
    "socket_connect_timeout": CONNECTION["socket_connect_timeout"],
    "socket_keepalive": True,
    "health_check_interval": CONNECTION["health_check_interval"],
}


class ApexCelery(Celery):
    """Celery, and the worker context that its tasks and steps share.

    A child that is no fork, as on macOS, has no copy of it: it is given the name of its own.
    """

    context: WorkerContext

    def __reduce__(self) -> tuple[Callable[[], Celery], tuple[()]]:
        return _of_this_process, ()


def _of_this_process() -> Celery:
    from workers import app

    return app


def create_app(settings: Settings) -> ApexCelery:
    """The app: one task, at most one message per slot in a worker, results read from the ledger."""
    url = _certain(settings.redis_url)
    app = ApexCelery("workers", broker=url, backend=f"workers.result_backend:LedgerBackend+{url}")
    app.context = WorkerContext(settings)
    app.conf.update(
        imports=["workers"],
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,  # the ledger has it; the backend only reads
        task_acks_late=False,  # a wake-up is only a hint; the ledger brings lost ones back
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_concurrency=1,
        worker_send_task_events=True,
        worker_consumer="workers.consumer:JobConsumer",
        worker_proc_alive_timeout=settings.load_timeout_s,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_deduplicate_successful_tasks=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,  # a replica, a full memory or disk may be over, too
        worker_enable_prefetch_count_reduction=False,
        broker_transport_options={
            **SOCKET,
            "queue_order_strategy": "priority",
            "priority_steps": [0, 3, 6, 9],
            "ack_emulation": False,  # recovery is the ledger's: no books of Celery's own
        },
        redis_socket_timeout=SOCKET["socket_timeout"],
        redis_socket_connect_timeout=SOCKET["socket_connect_timeout"],
        redis_socket_keepalive=True,
        redis_backend_health_check_interval=SOCKET["health_check_interval"],
    )
    app.register_task(JobTask())
    app.steps["worker"].update({GuardianStep, HeartbeatStep, ReconcilerStep})
    replace_commands()
    connect_signals(app)
    return app


def _certain(url: str) -> str:
    """A URL with TLS says what is asked of the server's certificate; Celery wants it said."""
    if not url.startswith("rediss://") or "ssl_cert_reqs=" in url:
        return url
    return f"{url}{'&' if '?' in url else '?'}ssl_cert_reqs=required"
