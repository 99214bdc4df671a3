"""Which calls the audit log has, and what it says of them."""

import io
import json
import logging

import pytest

from common.audit import LOGGER_NAME, AuditedCall, is_audited, is_mutating
from common.logs import configure_logging
from gateway.protocol import CONTRACTS

OPERATIONS = [method.name for contract in CONTRACTS.values() for method in contract.methods]
READING = ("Describe", "List", "Get")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_reads_or_changes(operation):
    assert is_mutating(operation) is not operation.startswith(READING)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_puts_can_be_left_out(operation):
    assert is_audited(operation, puts=True) is is_mutating(operation)
    assert is_audited(operation, puts=False) is (is_mutating(operation) and not operation.startswith("Put"))


@pytest.fixture
def stream():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    written = io.StringIO()
    configure_logging("gateway", level="ERROR", stream=written)
    yield written
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize("resource", ["*", "arn:aws:personalize:us-east-1:123456789012:solution/films"])
def test_a_line_is_written_at_any_level_of_the_other_logs(stream, resource):
    call = AuditedCall("DeleteSolution", "123456789012", "TBKEY", "gateway", "127.0.0.1:5", resource)

    call.record("OK")

    line = json.loads(stream.getvalue())
    assert line.pop("timestamp")
    assert line == {
        "event": "audit",
        "level": "info",
        "service": "gateway",
        "logger": LOGGER_NAME,
        "operation": "DeleteSolution",
        "account": "123456789012",
        "subject": "TBKEY",
        "role": "gateway",
        "peer": "127.0.0.1:5",
        "resource": resource,
        "outcome": "OK",
    }


@pytest.mark.parametrize("text", ["someone@example.org", "arn:" + "x" * 300, ""])
def test_what_is_no_arn_is_not_quoted(stream, text):
    AuditedCall("DeleteSolution", "123456789012", "TBKEY", "gateway", "127.0.0.1:5", text).record("OK")

    assert json.loads(stream.getvalue())["resource"] == "*"
