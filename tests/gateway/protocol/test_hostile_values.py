"""What a caller with a key can send at worst: work grows as the input does, and every answer is small and modelled."""

import gc
import json
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import errors
from common.errors import InvalidInput
from gateway.errors import Malformed
from gateway.protocol import AWS_JSON, REST_JSON, fault, load_operations
from gateway.protocol.constraints import compile_pattern
from tests.gateway import samples

OPERATIONS = load_operations()
BY_NAME = {operation.name: operation for operation in OPERATIONS}
ARN = "arn:aws:personalize:us-east-1:000000000000:campaign/films"
#: Each size is four times the one before; linear work takes four times as long, quadratic sixteen times.
SIZES = [4**power for power in range(4, 12)]
MOST_GROWTH = 10
#: What takes less is below the noise of the clock.
NOISE_SECONDS = 0.01
#: The answer to a refused request, as a whole.
LARGEST_ANSWER_BYTES = 5000


def cpu_seconds(work):
    """Return the processor time of this thread, so that neighbours on the machine do not count; the best of three."""
    spent = []
    gc.disable()  # what a collection costs depends on everything else that lives in this process
    try:
        for _ in range(3):
            before = time.thread_time()
            work()
            spent.append(time.thread_time() - before)
            if spent[-1] < NOISE_SECONDS:
                break
    finally:
        gc.enable()
    return min(spent)


def assert_linear(work_of_size):
    before = NOISE_SECONDS
    for size in SIZES:
        spent = cpu_seconds(work_of_size(size))
        assert spent < MOST_GROWTH * max(before, NOISE_SECONDS), f"{size} characters took {spent} s after {before} s"
        before = spent


def prefixes(sample):
    return {"", sample, *(sample[: place + 1] for place, sign in enumerate(sample) if sign in ":/")}


@pytest.mark.parametrize("pattern", sorted(samples.BY_PATTERN))
@pytest.mark.parametrize("filler", [":", "a", " ", "0", "/:a-"])
def test_matching_grows_as_the_value_does_for_every_pattern_of_the_models(pattern, filler):
    matches = compile_pattern(pattern)
    for prefix in prefixes(samples.BY_PATTERN[pattern]):

        def matching(size, prefix=prefix):
            value = f"{prefix}{filler * (size // len(filler))}\n"
            return lambda: matches(value)

        assert_linear(matching)


def rejection(operation, body):
    with pytest.raises(InvalidInput) as caught:
        BY_NAME[operation].decode(body)
    return caught.value


HOSTILE_LISTS = {
    "objects": b'{"eventList":[%s{}]}',
    "nulls": b'{"eventList":[%snull]}',
    "lists": b'{"eventList":[%s[]]}',
    "strings": b'{"eventList":[%s"a"]}',
    "numbers": b'{"eventList":[%s1]}',
}
ELEMENTS = {"objects": b"{},", "nulls": b"null,", "lists": b"[],", "strings": b'"a",', "numbers": b"1,"}


@pytest.mark.parametrize("kind", HOSTILE_LISTS)
def test_long_lists_are_refused_with_work_that_grows_as_the_body_does(kind):
    def decoding(size):
        body = HOSTILE_LISTS[kind] % (ELEMENTS[kind] * (size // len(ELEMENTS[kind])))

        def decode():
            assert len(fault(rejection("PutEvents", body), protocol=REST_JSON, modelled={}).body) < LARGEST_ANSWER_BYTES

        return decode

    assert_linear(decoding)


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputList":[' + b"null," * 300_000 + b"null]}",
        b'{"context":{' + b",".join(b'"!%d":"x"' % number for number in range(100_000)) + b"}}",
        b'{"context":{"' + b"!" * 3_000_000 + b'":"x"}}',
        b'{"inputList":["' + b"a" * 3_000_000 + b'"]}',
        b'{"campaignArn":"' + b":" * 3_000_000 + b'"}',
        b'{"campaignArn":"' + rb"\u0001" * 256 + b'"}',
    ],
    ids=["holes", "keys", "key", "element", "arn", "controls"],
)
def test_an_error_is_small_however_much_is_wrong(body):
    error = rejection("GetPersonalizedRanking", body)

    assert len(fault(error, protocol=REST_JSON, modelled={}).body) < LARGEST_ANSWER_BYTES
    assert len(error.violations) <= 10


def test_at_most_ten_problems_are_reported():
    tags = [{"tagKey": "!", "tagValue": "!"}] * 50

    error = rejection("TagResource", json.dumps({"resourceArn": "x", "tags": tags}).encode())

    assert error.message.startswith("10 validation errors detected: ")
    assert len(error.violations) == 10


def test_members_of_a_list_of_the_wrong_length_are_not_checked():
    body = {"trackingId": "t", "sessionId": "s", "eventList": [{"eventType": "x" * 300}] * 11}

    error = rejection("PutEvents", json.dumps(body).encode())

    assert [item.field for item in error.violations] == ["eventList"]
    assert "Value '***' at 'eventList'" in error.message


def test_a_collection_is_reported_by_its_size():
    body = {"resourceArn": ARN, "tags": [{"tagKey": "k", "tagValue": "v"}] * 201}

    error = rejection("TagResource", json.dumps(body).encode())

    assert "Value '[201 members]' at 'tags'" in error.message


def test_more_values_than_any_request_has_are_refused_before_they_are_made():
    error = rejection("PutEvents", b'{"x":[' + b"[],[]," * 500_000 + b"1]}")

    assert isinstance(error, Malformed)
    assert "got more than 400000 values" in error.message


def leaves(shape, path=()):
    """Yield the way to each single value of a request."""
    if shape is None:
        return
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            yield from leaves(member, (*path, name))
    elif shape.type_name == "list":
        yield from leaves(shape.member, (*path, 0))
    elif shape.type_name == "map":
        yield from leaves(shape.value, (*path, None))
    else:
        yield path


def with_value(value, path, text):
    """Return the request as JSON, with this text where the way leads."""
    if not path:
        return text
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        return f"[{with_value(value[step], rest, text)}]"
    parts = [
        f"{json.dumps(name)}:{with_value(item, rest, text) if name == step or step is None else dump(item)}"
        for name, item in value.items()
    ]
    return "{" + ",".join(parts) + "}"


def dump(value):
    return json.dumps(value, default=lambda moment: moment.timestamp())


def shapes():
    for operation in OPERATIONS:
        shape = samples.model(operation.service).operation_model(operation.name).input_shape
        if shape is not None and shape.members:
            yield operation, shape


#: No text, no number, or one that nothing holds.
NO_VALUES = {
    "half of a surrogate": r'"\ud800"',
    "other half": r'"a\udfffb"',
    "500 digits": "1" + "0" * 499,
    "5000 digits": "9" * 5000,
    "negative": "-" + "9" * 500,
    "exponent": "1e999",
    "nan": "NaN",
    "infinity": "-Infinity",
}


@pytest.mark.parametrize("text", NO_VALUES.values(), ids=NO_VALUES.keys())
def test_what_is_no_value_is_refused_wherever_it_stands_in_any_operation(text):
    tried = 0
    for operation, shape in shapes():
        for path in leaves(shape):
            body = with_value(samples.request_value(shape), path, text)
            with pytest.raises(Malformed):
                operation.decode(body.encode())
            tried += 1
    assert tried > 200


@pytest.mark.parametrize(
    "text", ["1" + "0" * 300, "1e300", "1e305", "1e-400", "-0.0", "0." + "1" * 500, "1" + "0" * 30]
)
def test_any_other_number_is_taken_or_refused_wherever_it_stands(text):
    for operation, shape in shapes():
        for path in leaves(shape):
            with suppress(InvalidInput):
                operation.decode(with_value(samples.request_value(shape), path, text).encode())


@given(st.text(st.characters(codec=None), max_size=300), st.sampled_from([AWS_JSON, REST_JSON]))
def test_no_message_breaks_the_mapping_of_an_error(message, protocol):
    for kind in (errors.InvalidInput, errors.Unavailable, Malformed, errors.TailorbirdError, RuntimeError):
        answer = fault(kind(message), protocol=protocol, modelled={})

        assert json.loads(answer.body)["message"] is not None
        assert len(answer.body) < LARGEST_ANSWER_BYTES


def test_a_message_without_end_is_cut():
    answer = fault(errors.InvalidInput("ä\ud800" * 1_000_000), protocol=REST_JSON, modelled={})

    message = json.loads(answer.body)["message"]
    assert message.startswith("ä\\ud800ä")
    assert len(message.encode()) <= 4096
