"""How a worker starts: the instance from ``-Q``, its registration, the model in each child.

Celery swallows exceptions of signal receivers; SystemExit is how a worker refuses to start.
"""

from __future__ import annotations

import logging
import os
import socket
import uuid
from contextlib import suppress
from typing import Any

from billiard import pool as billiard_pool
from celery import signals

from ledger import instances, keys
from ledger.cache_key import fingerprint
from ledger.errors import ApexError, InstanceTaken
from ledger.instances import GRACE_MS, Descriptor
from ledger.redis_client import Ledger
from ledger.settings import InstanceSpec
from workers import backends
from workers.context import WorkerContext
from workers.memory_limit import limit_memory
from workers.nudge import listen
from workers.persist import persist
from workers.processes import alive
from workers.reconciler import take_over
from workers.runner import Runner
from workers.wakeup import render

log = logging.getLogger(__name__)


def connect_signals(app: Any) -> None:
    """Hooks the start of workers of ``app``. Receivers are kept alive by the app."""
    context: WorkerContext = app.context

    def choose_instance(instance: Any, conf: Any, options: dict[str, Any], **_: Any) -> None:
        try:
            context.spec = _instance_of(context, options.get("queues"))
            _refuse_other_pools(context.spec, options)
            backends.create(context.spec, context.settings)  # a bad option ends here, not in a loop
            host = instance.hostname.partition("@")[2] or socket.gethostname()
            instance.hostname = f"{context.spec.name}@{host}"
            conf.broker_transport = "workers.transport:Transport"
            _register(app, context, instance.hostname)
        except ApexError as error:
            raise SystemExit(f"apexq: {error}") from None

    def size_pool(sender: Any, **_: Any) -> None:
        if context.spec is not None:
            sender.concurrency = context.spec.slots

    def load_model(sender: Any, **_: Any) -> None:
        # A parent that stops may no longer read what a child reports, and the child waits for
        # that, 30 s by default. The ledger has the outcome, so 2 s are enough.
        billiard_pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 20
        listen(context.heed)
        _load(context, str(sender))

    def say_stopped(**_: Any) -> None:
        if context.spec is not None:
            try:
                context.ledger.run(
                    instances.set_state(context.spec.name, context.owner, "stopped", "shut down")
                )
            except ApexError as error:
                log.warning("%s", error)

    app.receivers = (choose_instance, size_pool, load_model, say_stopped)
    signals.celeryd_init.connect(choose_instance)
    signals.worker_init.connect(size_pool)
    signals.worker_process_init.connect(load_model)
    signals.worker_shutdown.connect(say_stopped)


def _instance_of(context: WorkerContext, queues: Any) -> InstanceSpec:
    names = queues.split(",") if isinstance(queues, str) else list(queues or ())
    if len(names) != 1:
        known = ", ".join(spec.name for spec in context.settings.instances)
        given = f"{len(names)} were given" if names else "none was given"
        raise SystemExit(
            f"apexq: a worker serves one instance, and {given}: "
            f"start it with -Q and one of {known}."
        )
    return context.settings.instance(names[0])


def _refuse_other_pools(spec: InstanceSpec, options: dict[str, Any]) -> None:
    """The pool follows the instance; a flag that would be ignored is refused instead."""
    pool = getattr(options.get("pool"), "__module__", "prefork")
    if not pool.endswith("prefork"):
        raise SystemExit(
            f"apexq: a model runs in a child process, not in the pool {pool}: leave --pool out."
        )
    concurrency = options.get("concurrency")
    if concurrency not in (None, 0, 1, spec.slots):  # 1 is what the app's configuration says
        raise SystemExit(
            f"apexq: {spec.name} has {spec.slots} slot(s), not {concurrency}: "
            "leave --concurrency out, or set the instance's slots in apexq.toml."
        )


def _register(app: Any, context: WorkerContext, node: str) -> None:
    spec = context.instance
    context.ledger.exists(keys.INSTANCES)  # before kombu connects, whose error says less
    context.owner = f"{node}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    descriptor = Descriptor(
        name=spec.name,
        backend=spec.backend,
        model=spec.served_model,
        slots=spec.slots,
        roles=spec.roles,
        weight=spec.weight,
        fingerprint=fingerprint(spec, context.settings),
    )
    facts: dict[str, Any] = {
        "owner": context.owner,
        "node": node,
        "pid": os.getpid(),
        "wakeup": render(app, spec.name),
        "grace_ms": GRACE_MS,
    }
    gone = ""
    try:
        context.ledger.run(instances.register(descriptor, **facts))
    except InstanceTaken as taken:
        if not _died_here(taken, node):
            raise
        gone = str(taken.owner)
        context.ledger.run(instances.register(descriptor, **facts, gone_owner=gone))
    take_over(context.ledger, context.settings, spec, gone=gone)


def _died_here(taken: InstanceTaken, node: str) -> bool:
    """True if the other owner ran on this host and its process is gone."""
    if taken.node != node:
        return False
    if taken.pid == os.getpid():  # a container that was started again: its process is always 1
        return True
    return not alive(taken.pid)


def _load(context: WorkerContext, node: str) -> None:
    """Loads the model in a pool child and warms it up where that helps; then the instance is
    ready.
    """
    ledger = Ledger(context.settings.redis_url)
    if context.spec is None:  # a spawned child, which inherits nothing
        context.spec = context.settings.instance(node.partition("@")[0])
        context.owner = str(ledger.redis.hget(keys.entry(context.spec.name), "owner"))
    spec = context.spec

    def say(what: str) -> None:
        log.info("%s: %s", spec.name, what)
        with suppress(ApexError):  # the work goes on, whether it can be watched or not
            ledger.run(instances.set_state(spec.name, context.owner, "starting", what))

    try:
        limit_memory(context.settings.memory_limit_mb)
        backend = backends.create(spec, context.settings)
        backend.load(say)
        if backend.abilities.warms_up:
            _warm_up(backend)
    except Exception as error:  # noqa: BLE001  whatever a model's library raises
        why = error.message if isinstance(error, ApexError) else f"{type(error).__name__}: {error}"
        log.error("%s could not load its model: %s", spec.name, why)
        persist(ledger, instances.set_state(spec.name, context.owner, "failed", why))
        return
    runner = Runner(ledger, backend, spec, context.settings, owner=context.owner, pid=os.getpid())
    context.become_child(runner)
    has = backend.abilities
    ready = instances.set_state(
        spec.name, context.owner, "ready", window=has.window, abilities=_names_of(has)
    )
    persist(ledger, ready)  # Redis may be loading its data, and nobody says it again


def _names_of(has: backends.Abilities) -> list[str]:
    """What a backend has, in words for people: options that it takes, and more."""
    more = [name for name in ("chat", "continues", "images", "reasoning") if getattr(has, name)]
    return sorted({*has.options, *more})


def _warm_up(backend: backends.Backend) -> None:
    """One short answer, so that the first caller does not pay for what is made lazily."""
    request = backends.WARM_UP
    for _ in backend.stream(backends.Run(request, max_tokens=1)):
        pass
