"""Compares what is on the wire with Personalize's own shapes, as botocore's service models describe them.

    client = boto3.client("personalize", ...)
    with responses_checked(client):      # every successful response of this client from here on
        client.create_schema(...)

    assert_matches(output_shape("personalize", "DescribeSchema"), json.loads(body))     # one document

Nothing here uses the gateway's own reading of the models: it is a second one, slower and stricter. Documents are the
parsed JSON of a body, before boto3 turns their times into `datetime`.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from botocore.model import OperationModel, Shape

from tests.gateway import samples

__all__ = ["assert_matches", "assert_modelled_error", "fits", "operation_model", "output_shape", "responses_checked"]

#: Patterns of members that may hold more here than with Personalize: imports read `file:///PATH` too.
ANY_TEXT = frozenset({r"(s3|http|https)://.+"})
#: Members of responses that AWS itself fills in otherwise than its model says: a role has the pattern of Personalize's
#: own ARNs there, and a solution version without a name is called SOLUTION/ID.
_OBSERVED = {
    "roleArn": re.compile(r"arn:aws:iam::\d{12}:role/.+", re.ASCII),
    "SolutionVersion.name": re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-_]*(/[0-9a-f]{8})?", re.ASCII),
}
_TAG_SIGNS = frozenset("_.:/=+-@")
#: Errors of all services of AWS, which no model lists.
COMMON_ERRORS = frozenset(
    {"AccessDeniedException", "SerializationException", "ThrottlingException", "UnknownOperationException"}
)
#: Personalize began in 2018; times before are made of something else than seconds.
_EARLIEST = datetime(2018, 1, 1, tzinfo=UTC).timestamp()
_LATEST = datetime(2100, 1, 1, tzinfo=UTC).timestamp()


def operation_model(service: str, operation: str) -> OperationModel:
    """Return the model of an operation, e.g. of `personalize` and `DescribeSchema`."""
    return samples.model(service).operation_model(operation)


def output_shape(service: str, operation: str) -> Shape | None:
    """Return the shape of an operation's response, None when it has none."""
    return operation_model(service, operation).output_shape


def assert_matches(shape: Shape | None, document: Any, *, at: str = "") -> None:
    """Assert that a document is one of this shape: members, types, lengths, ranges, patterns, enumerations, times.

    What AWS never sends is wrong as well: members that the shape does not have, and nulls.

    Args:
        shape: From botocore's model; None or a shape without members wants a document without members.
        document: Parsed JSON.
        at: Name of the document in messages.
    """
    if shape is None:
        assert not document, f"{at or 'document'}: got {document!r}, want nothing"
        return
    at = at or shape.name
    kind = shape.type_name
    assert document is not None, f"{at}: got null, want a {kind} or no member at all"
    _KINDS[kind](shape, document, at)


def assert_modelled_error(service: str, operation: str, code: str) -> None:
    """Assert that AWS's documentation of an operation has this error, or that it is one of those of all services."""
    modelled = {shape.error_code for shape in operation_model(service, operation).error_shapes}
    assert code in modelled | COMMON_ERRORS, f"{operation}: got {code}, want one of {sorted(modelled)}"


@contextmanager
def responses_checked(client: Any, *, seen: Callable[[str], None] | None = None) -> Iterator[None]:
    """Check every response of a boto3 client against its operation's shape until the block ends.

    Args:
        client: A client of one of the three services; an error that is returned is checked to be in its model.
        seen: Called with the name of each operation that was answered with success.
    """
    service = client.meta.service_model.service_name
    failures: list[str] = []

    def check(event_name: str, response_dict: dict[str, Any], parsed_response: Any, **_: Any) -> None:
        operation = event_name.rpartition(".")[2]
        try:
            if response_dict["status_code"] >= 300:
                assert_modelled_error(service, operation, parsed_response["Error"]["Code"])
                return
            body = response_dict["body"]
            assert_matches(output_shape(service, operation), json.loads(body) if body else {}, at=operation)
        except AssertionError as error:
            failures.append(str(error))  # botocore's own retries and the test's `raises` must not hide it
            raise
        if seen is not None:
            seen(operation)

    event = f"response-received.{client.meta.service_model.service_id.hyphenize()}"
    client.meta.events.register(event, check)
    try:
        yield
    finally:
        client.meta.events.unregister(event, check)
    assert not failures, failures


def _structure(shape: Any, document: Any, at: str) -> None:
    assert type(document) is dict, f"{at}: got {document!r}, want an object"
    unknown = document.keys() - shape.members.keys()
    assert not unknown, f"{at}: got members {sorted(unknown)}, which {shape.name} does not have"
    missing = set(shape.required_members) - document.keys()
    assert not missing, f"{at}: got no {sorted(missing)}, which {shape.name} requires"
    for name, value in document.items():
        observed = _OBSERVED.get(f"{shape.name}.{name}") or _OBSERVED.get(name)
        if observed is not None:
            assert observed.fullmatch(value), f"{at}.{name}: got {value!r}, want what matches {observed.pattern}"
        else:
            assert_matches(shape.members[name], value, at=f"{at}.{name}")


def _list(shape: Any, document: Any, at: str) -> None:
    assert type(document) is list, f"{at}: got {document!r}, want a list"
    _measured(shape, len(document), at)
    for index, item in enumerate(document):
        assert_matches(shape.member, item, at=f"{at}[{index}]")


def _map(shape: Any, document: Any, at: str) -> None:
    assert type(document) is dict, f"{at}: got {document!r}, want an object"
    _measured(shape, len(document), at)
    for key, value in document.items():
        assert_matches(shape.key, key, at=f"{at} key {key!r}")
        assert_matches(shape.value, value, at=f"{at}.{key}")


def _string(shape: Shape, document: Any, at: str) -> None:
    assert type(document) is str, f"{at}: got {document!r}, want a string"
    _measured(shape, len(document), at)
    if values := shape.metadata.get("enum"):
        assert document in values, f"{at}: got {document!r}, want one of {values}"
    if (pattern := shape.metadata.get("pattern")) is not None:
        assert fits(pattern, document), f"{at}: got {document!r}, which does not match {pattern}"


def _boolean(_: Shape, document: Any, at: str) -> None:
    assert type(document) is bool, f"{at}: got {document!r}, want true or false"


def _integer(shape: Shape, document: Any, at: str) -> None:
    assert type(document) is int, f"{at}: got {document!r}, want an integer"
    _measured(shape, document, at)


def _number(shape: Shape, document: Any, at: str) -> None:
    assert type(document) in (int, float), f"{at}: got {document!r}, want a number"
    _measured(shape, document, at)


def _timestamp(_: Shape, document: Any, at: str) -> None:
    assert type(document) in (int, float), f"{at}: got {document!r}, want seconds since 1970"
    assert _EARLIEST < document < _LATEST, f"{at}: got {document!r}, which is no time of a resource in seconds"


_KINDS: dict[str, Callable[[Any, Any, str], None]] = {
    "structure": _structure, "list": _list, "map": _map, "string": _string, "boolean": _boolean, "integer": _integer,
    "long": _integer, "float": _number, "double": _number, "timestamp": _timestamp,
}  # fmt: skip


def _measured(shape: Shape, size: float, at: str) -> None:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    assert low is None or size >= low, f"{at}: got {size}, want at least {low}"
    assert high is None or size <= high, f"{at}: got {size}, want at most {high}"


def fits(pattern: str, text: str) -> bool:
    r"""Return whether a text matches a pattern of Java's dialect as a whole; Python's `re` has no `\p`."""
    if pattern in ANY_TEXT:
        return True
    if pattern == r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$":
        return all(unicodedata.category(sign)[0] in "LZN" or sign in _TAG_SIGNS for sign in text)
    return re.fullmatch(pattern.replace(r"\p{ASCII}", r"[\x00-\x7f]"), text, re.ASCII) is not None
