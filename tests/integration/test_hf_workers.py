"""What only workers on transformers do: they load no pickled weights."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.conftest import ON_ONE_SERVER
from tests.support import tiny_safetensors
from tests.support.command import apexq
from tests.support.workers import Worker

pytestmark = ON_ONE_SERVER


def test_a_worker_whose_model_cannot_be_loaded_ends_and_the_status_says_why(
    redis_url: str, tmp_path: Path
) -> None:
    model = tiny_safetensors.write(tmp_path / "pickled")
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    table = {"name": "inst0", "backend": "hf", "model": str(model), "device": "cpu"}
    env = {"APEX_LLM_INSTANCES": json.dumps([table])}
    worker = Worker("inst0", redis_url, tmp_path, env)

    assert worker.process.wait(60) == os.EX_CONFIG

    [shown] = json.loads(apexq("status", "--json", url=redis_url).stdout)["instances"]
    assert shown["state"] == "failed"
    assert "pytorch_model.bin may hold code (pickle) and is never loaded" in shown["why"]
    assert "Traceback" not in worker.log
