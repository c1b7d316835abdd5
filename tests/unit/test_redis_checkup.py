"""`apexq doctor` on Redis: which servers are not fit for a queue, and what it says to do."""

from __future__ import annotations

from typing import Any

import pytest

from producer.cli import redis_checkup as checkup

MB = 1024 * 1024


@pytest.mark.parametrize(
    ("info", "status"),
    [
        ({"redis_version": "6.2.14"}, "fail"),
        ({"redis_version": "7.0.15"}, "ok"),
        ({"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "9.1.2"}, "ok"),
        ({}, "fail"),
    ],
)
def test_a_server_before_7_fails(info: dict[str, Any], status: str) -> None:
    assert checkup.check_version(info).status == status


@pytest.mark.parametrize(
    ("info", "status", "said"),
    [
        ({"redis_mode": "standalone", "role": "master"}, "ok", ""),
        ({"redis_mode": "cluster", "role": "master"}, "fail", "a single server"),
        ({"server_mode": "sentinel"}, "fail", "a single server"),
        ({"role": "slave", "master_host": "db", "master_port": 6379}, "fail", "to db:6379"),
    ],
)
def test_a_cluster_and_a_replica_fail(info: dict[str, Any], status: str, said: str) -> None:
    check = checkup.check_role(info)
    assert check.status == status
    assert said in check.todo


@pytest.mark.parametrize(("policy", "status"), [("noeviction", "ok"), ("allkeys-lru", "fail")])
def test_a_server_that_evicts_fails(policy: str, status: str) -> None:
    assert checkup.check_eviction({"maxmemory_policy": policy}).status == status


@pytest.mark.parametrize(
    ("used_mb", "most_mb", "status"),
    [(10, 0, "ok"), (10, 32, "warn"), (100, 1000, "ok"), (800, 1000, "warn"), (980, 1000, "fail")],
)
def test_a_memory_that_is_small_or_full_is_named(used_mb: int, most_mb: int, status: str) -> None:
    check = checkup.check_room({"used_memory": used_mb * MB, "maxmemory": most_mb * MB})
    assert check.status == status
    assert "raise maxmemory" in check.todo or status == "ok"


@pytest.mark.parametrize(
    ("info", "save", "status"),
    [
        ({"aof_enabled": 1}, "", "ok"),
        ({"aof_enabled": 0}, "3600 1", "warn"),
        ({"aof_enabled": 0}, "", "warn"),
        ({"aof_enabled": 0}, None, "warn"),
        ({"aof_enabled": 1, "rdb_last_bgsave_status": "err"}, "", "fail"),
        ({"aof_enabled": 1, "aof_last_write_status": "err"}, "", "fail"),
    ],
)
def test_missing_persistence_is_a_warning_and_a_broken_one_a_failure(
    info: dict[str, Any], save: str | None, status: str
) -> None:
    assert checkup.check_persistence(info, save).status == status


@pytest.mark.parametrize(
    ("clients", "timeout", "status"),
    [(10, "0", "ok"), (10, None, "ok"), (10, "300", "ok"), (10, "20", "warn"), (90, "0", "warn")],
)
def test_connections_that_are_cut_or_run_out_are_a_warning(
    clients: int, timeout: str | None, status: str
) -> None:
    info = {"connected_clients": clients, "maxclients": 100}
    assert checkup.check_connections(info, timeout).status == status


@pytest.mark.parametrize(
    ("times_ms", "status"), [([0.2, 0.3, 80.0], "ok"), ([9.0, 9.0, 1.0], "warn")]
)
def test_a_server_that_is_far_away_is_a_warning(times_ms: list[float], status: str) -> None:
    assert checkup.check_latency(times_ms).status == status


def test_a_user_who_may_not_do_all_of_it_fails() -> None:
    assert checkup.check_permissions([]).status == "ok"
    check = checkup.check_permissions(["LPUSH inst0 x", "BRPOP inst0 1", "SCAN 0", "INFO"])
    assert check.status == "fail"
    assert check.found.endswith("SCAN 0; and 1 more")
