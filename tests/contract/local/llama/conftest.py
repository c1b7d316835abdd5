"""llama.cpp alone."""

from __future__ import annotations

import pytest

from tests.support.local_models import Library, llama_cpp


@pytest.fixture(scope="module")
def library() -> Library:
    return llama_cpp()
