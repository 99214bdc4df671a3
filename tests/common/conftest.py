"""Fixtures of the tests of what all processes share."""

import io
import json
import logging

import pytest

from common.logs import configure_logging


@pytest.fixture
def log_lines():
    """Return a function for the lines that the process has logged since the test began, as documents."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging("tests", level="INFO", form="json", stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:] = handlers
    root.setLevel(level)
