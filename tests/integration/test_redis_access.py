"""A Redis behind TLS, and a user who may do what docs/redis.md lists and nothing else."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from pathlib import Path

import pytest
import redis

from ledger.errors import InvalidSetting
from ledger.settings import load_settings
from producer import AsyncLLMClient, LLMClient, RedisUnavailable
from tests.support import servers
from tests.support.command import apexq
from tests.support.sentences import is_one_sentence
from tests.support.workers import ROOT, working

PAGE = (ROOT / "docs" / "redis.md").read_text()


def all_of_it(url: str) -> None:
    """A job by both clients: submitted, streamed, waited for, cancelled."""
    settings = load_settings(env={}, redis_url=url)
    with LLMClient(settings) as client:
        job = client.submit("hello", agent_id="a", session_id="s", history=True)
        text = "".join(event.text for event in job.stream(timeout_s=20))
        assert job.result(20).text == text
        with client.episode("night", token_budget=1000) as episode:
            assert episode.complete("hello", agent_id="a").text
        assert client.submit("hello", agent_id="a").cancel()

    async def awaited() -> str:
        async with AsyncLLMClient(settings) as client:
            return (await client.complete("hello", agent_id="a")).text

    assert asyncio.run(awaited())


def test_a_user_with_the_rights_of_the_page_is_enough(redis_url: str, tmp_path: Path) -> None:
    (rules,) = re.findall(r"^ACL SETUSER apexq (.*)$", PAGE, re.MULTILINE)
    with redis.Redis.from_url(redis_url, decode_responses=True) as admin:
        admin.execute_command("ACL", "SETUSER", "apexq", *rules.split())
        admin.acl_log_reset()
        url = redis_url.replace("redis://", "redis://apexq:password@")

        with working(url, tmp_path, "inst0"):
            all_of_it(url)
            found = json.loads(apexq("doctor", "--json", url=url).stdout)

        denied = [entry["object"] for entry in admin.acl_log()]
        admin.acl_deluser("apexq")
    assert found["ok"]
    assert set(denied) <= {"config|get"}  # the doctor asks, and does without


def test_a_user_who_may_not_do_something_is_told_what(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as admin:
        admin.execute_command("ACL", "SETUSER", "little", "on", ">pw", "~*", "+@all", "-@pubsub")
        url = redis_url.replace("redis://", "redis://little:pw@")

        done = apexq("doctor", "--json", url=url)

        admin.acl_deluser("little")
    (check,) = (one for one in json.loads(done.stdout)["checks"] if one["name"] == "permissions")
    assert check["status"] == "fail"
    assert "PUBLISH apexq:stream:doctor" in check["found"]


@pytest.mark.parametrize(
    ("who", "advice"), [("nobody:wrong@", "correct those in REDIS_URL"), ("", "put user and")]
)
def test_a_wrong_or_missing_password_is_named(who: str, advice: str, tmp_path: Path) -> None:
    with servers.server(servers.embedded(), tmp_path) as (url, _):
        with redis.Redis.from_url(url) as admin:
            admin.config_set("requirepass", "right")
        settings = load_settings(env={}, redis_url=url.replace("redis://", f"redis://{who}"))
        with (
            LLMClient(settings) as client,
            pytest.raises(RedisUnavailable, match=advice) as refused,
        ):
            client.submit("hello", agent_id="a")
    assert is_one_sentence(refused.value)
    assert "wrong" not in str(refused.value)


def test_a_connection_with_tls_checks_the_certificate(tmp_path: Path) -> None:
    binary = servers.stock()
    if binary is None:
        pytest.skip("no redis-server is installed")
    certificate = self_signed(tmp_path)
    options = ["--tls-cert-file", certificate, "--tls-key-file", tmp_path / "key.pem"]
    options += ["--tls-ca-cert-file", certificate, "--tls-auth-clients", "no"]
    tls_port = servers.free_port()
    with servers.server(binary, tmp_path, "--tls-port", str(tls_port), *map(str, options)):
        url = f"rediss://localhost:{tls_port}/0"
        trusting = f"{url}?ssl_ca_certs={certificate}"

        with working(trusting, tmp_path, "inst0"):
            all_of_it(trusting)
        with (
            LLMClient(load_settings(env={}, redis_url=url)) as client,
            pytest.raises(RedisUnavailable, match="certificate verify failed"),
        ):
            client.submit("hello", agent_id="a")


def self_signed(folder: Path) -> Path:
    """A certificate of localhost and its key, as `cert.pem` and `key.pem`."""
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *files],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder / "cert.pem"


def test_sentinels_are_refused_with_what_to_do() -> None:
    url = "redis+sentinel://:secret@one:26379,two:26379/main/0"
    with pytest.raises(InvalidSetting, match=r"names Sentinels.*name the primary") as refused:
        LLMClient(load_settings(env={}, redis_url=url))
    assert "secret" not in str(refused.value)
