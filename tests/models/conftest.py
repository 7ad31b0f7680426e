"""What tests of this folder share."""

import logging

import pytest


@pytest.fixture
def said(caplog):
    """What was said by absl's logger, which passes nothing on by itself."""
    logger = logging.getLogger('absl')
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)
