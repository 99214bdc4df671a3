"""Log lines."""

import io
import json
import logging

import pytest
import structlog

from common.logs import configure_logging, get_logger, request_id


@pytest.fixture
def lines():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging("tests", level="INFO", form="json", stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_line_has_event_fields_service_and_request_id(lines):
    token = request_id.set("r-7")
    get_logger("a-test").info("imported", rows=3)
    request_id.reset(token)
    (line,) = lines()
    assert (line["event"], line["rows"], line["service"], line["request_id"]) == ("imported", 3, "tests", "r-7")


def test_secrets_are_not_written(lines):
    get_logger("a-test-of-secrets").warning("started", token="abc", secret_access_key="def")
    (line,) = lines()
    assert (line["token"], line["secret_access_key"]) == ("***", "***")


def test_lines_of_libraries_have_the_same_form(lines):
    logging.getLogger("some.library").warning("watch out")
    assert lines()[0]["event"] == "watch out"
    assert lines()[0]["service"] == "tests"


def test_lower_levels_are_left_out(lines):
    get_logger("a-quiet-test").debug("details")
    assert lines() == []
