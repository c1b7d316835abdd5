"""Where and on what the figures were measured."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import redis


def environment(client: redis.Redis, scale: str) -> dict[str, Any]:
    """Versions, machine and date, as latest.json has them; nothing that names the machine."""
    server = client.info("server")
    name = "valkey" if "valkey_version" in server else "redis"
    return {
        "python": platform.python_version(),
        "celery": version("celery"),
        "kombu": version("kombu"),
        "redis-py": version("redis"),
        "server": f"{name} {server.get('valkey_version', server['redis_version'])}",
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "scale": scale,
        "date": datetime.now(UTC).date().isoformat(),
    }
