"""What transformers logs while it loads a model is read, and shown nowhere."""

from __future__ import annotations

import logging

import pytest

from workers.backends.hf.report import LOGGER, with_its_cause


def test_the_library_is_as_quiet_afterwards_as_it_was_before(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Given a library that is to log errors alone
    caplog.set_level(logging.ERROR, logger="transformers")
    caplog.handler.setLevel(logging.NOTSET)
    logger = logging.getLogger(LOGGER)
    # When
    with with_its_cause():
        logger.warning("some weights are not used")
    logger.warning("some weights are not used")
    # Then
    assert caplog.messages == []
