"""Log lines."""

import logging

from structlog.testing import capture_logs

from common.logs import configure_logging, get_logger, request_id


def test_a_line_has_event_fields_service_and_request_id(log_lines):
    token = request_id.set("r-7")
    get_logger("a-test").info("imported", rows=3)
    request_id.reset(token)
    (line,) = log_lines()
    assert (line["event"], line["rows"], line["service"], line["request_id"]) == ("imported", 3, "tests", "r-7")


def test_secrets_are_not_written(log_lines):
    get_logger("a-test-of-secrets").warning("started", token="abc", secret_access_key="def")
    (line,) = log_lines()
    assert (line["token"], line["secret_access_key"]) == ("***", "***")


def test_lines_of_libraries_have_the_same_form(log_lines):
    logging.getLogger("some.library").warning("watch out")
    assert log_lines()[0]["event"] == "watch out"
    assert log_lines()[0]["service"] == "tests"


def test_lower_levels_are_left_out(log_lines):
    get_logger("a-quiet-test").debug("details")
    assert log_lines() == []


def test_a_logger_that_was_used_before_another_configuration_is_still_captured(log_lines):
    logger = get_logger("a-test-of-captures")
    logger.info("before")
    configure_logging("again")
    with capture_logs() as captured:
        logger.info("after")
    assert [line["event"] for line in captured] == ["after"]
    assert [line["event"] for line in log_lines()] == ["before"]
