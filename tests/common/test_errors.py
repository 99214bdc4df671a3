"""The tree of errors."""

import grpc
import pytest

from common import errors
from common.errors import FieldViolation, InvalidInput, TailorbirdError, invalid
from common.rpc import to_status

KINDS = [item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, TailorbirdError)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_has_a_canonical_status_and_a_reason(kind):
    status = to_status(kind("message"))
    assert status.code is grpc.StatusCode[kind.code]
    assert status.details == ("message")
    assert kind.reason


def test_reasons_are_unique():
    assert len({kind.reason for kind in KINDS}) == len(KINDS)


def test_a_bad_field_is_named_with_what_came_and_what_was_wanted():
    error = invalid("numResults", got=501, want="an integer from 1 to 500")
    assert error.message == "`numResults`: got 501, want an integer from 1 to 500"


def test_long_values_are_shortened():
    assert len(invalid("schema", got="x" * 9999, want="less").message) < 200


@pytest.mark.parametrize("text", ["\ud800", "half of \udfff a pair"])
def test_error_text_that_is_no_unicode_is_encoded(text):
    status = to_status(InvalidInput(text, violations=[FieldViolation(text, text)]))
    assert status.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "\\ud" in status.details
