"""transformers alone."""

from __future__ import annotations

import pytest

from tests.support.local_models import Library, hf


@pytest.fixture(scope="module")
def library() -> Library:
    return hf()
