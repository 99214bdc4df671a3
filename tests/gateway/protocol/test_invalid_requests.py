"""Every rule of Personalize's shapes broken once: the documented error comes, nothing behind the gateway changes."""

import hashlib
import json
import sqlite3
from collections import Counter
from contextlib import ExitStack, closing, contextmanager

import pytest

from common.access_keys import AccessKeys
from common.rpc import Service
from common.testing import make_keys, serving
from gateway.backends import BACKENDS
from gateway.protocol import AWS_JSON, CONTRACTS, load_operations
from tests import aws_shapes
from tests.control_plane.through_boto3 import personalize
from tests.control_plane.world import INTERACTIONS, make_world
from tests.gateway import samples
from tests.gateway.conftest import ADD, RecordingServicer, running_gateway
from tests.gateway.protocol.invalid_requests import INVALID, WRONG_TYPE, invalid_values, valid_request, values_at_bounds
from tests.gateway.wire import connected, read_response, signed

OPERATIONS = {operation.name: operation for operation in load_operations()}


class CountingServicer:
    """A servicer that remembers which of its methods were called."""

    def __init__(self, servicer):
        self._servicer = servicer
        self.calls = []

    def __getattr__(self, name):
        method = getattr(self._servicer, name)

        def call(request, context):
            self.calls.append(name)
            return method(request, context)

        return call


def input_shape(service, name):
    return samples.model(service).operation_model(name).input_shape


def digest(database):
    """Return the number of rows of each table of a database and a digest of all they hold."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as opened:
        tables = [name for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {name: opened.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables}
        text = "\n".join(opened.iterdump())
    return rows, hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def whole_gateway(plane, folder):
    """Run a gateway before this control plane and two recording services; give its address, a key, the servicers."""
    keys, access_keys = make_keys(), AccessKeys(folder / "access_keys.json")
    servicers = {
        "personalize": CountingServicer(plane.services[0].servicer),
        **{service: RecordingServicer(service) for service in CONTRACTS if service != "personalize"},
    }
    with ExitStack() as stack:
        targets = {
            BACKENDS[service]: stack.enter_context(
                serving([Service(CONTRACTS[service], ADD[service], servicer)], keys=keys)
            ).target
            for service, servicer in servicers.items()
        }
        url = stack.enter_context(running_gateway(access_keys, targets, token=keys.token("gateway")))
        yield url, access_keys.create("tests"), servicers


def sent(connection, key, url, service, name, value):
    """Send a request whose body is this value, and return its response."""
    operation = OPERATIONS[name]
    target = operation.target if operation.protocol == AWS_JSON else None
    connection.sendall(b"".join(signed(key, url, operation.path, json.dumps(value).encode(), target=target)))
    return read_response(connection)


def test_every_fault_of_a_request_gets_the_documented_error_and_changes_nothing(tmp_path):
    world = make_world(tmp_path)
    with personalize(world.plane, tmp_path) as client:
        group = client.create_dataset_group(name="films")["datasetGroupArn"]
        client.create_schema(name="events", schema=INTERACTIONS)
    database = tmp_path / "metadata_store.db"
    before = digest(database)
    assert before[0]["dataset_group"] == 1

    tried = Counter()
    with whole_gateway(world.plane, tmp_path) as (url, key, servicers), connected(url) as connection:
        for service, name in samples.all_operations():
            for fault in invalid_values(input_shape(service, name)):
                response = sent(connection, key, url, service, name, fault.value)
                document = json.loads(response.body)

                counted = "1 validation error detected: " if fault.code == INVALID else ""
                assert document["message"] == f"{counted}{fault.message}", (name, fault)
                assert (response.status, response.headers["x-amzn-errortype"]) == (400, fault.code), (name, fault)
                if OPERATIONS[name].protocol == AWS_JSON:
                    assert document["__type"] == fault.code
                tried[name] += 1
        assert servicers["personalize"].calls == []
        assert not servicers["personalize-events"].requests
        assert not servicers["personalize-runtime"].requests
        # The same connection still serves what is right, so that what was counted above could have been counted.
        lookup = {"datasetGroupArn": group}
        assert sent(connection, key, url, "personalize", "DescribeDatasetGroup", lookup).status == 200
        assert servicers["personalize"].calls == ["DescribeDatasetGroup"]
    assert digest(database) == before
    world.metadata_store.close()
    assert tried.keys() == {name for _, name in samples.all_operations()}
    assert tried.total() > 3500


@pytest.mark.parametrize(("service", "name"), samples.all_operations())
def test_what_is_exactly_at_a_bound_is_accepted(service, name):
    for value in values_at_bounds(input_shape(service, name)):
        OPERATIONS[name].decode(json.dumps(value).encode())


def with_members(value, shape, change):
    """Return a value in which `change` has been at every structure, the innermost first."""
    if shape.type_name == "structure":
        inner = {name: with_members(item, shape.members[name], change) for name, item in value.items()}
        return change(inner, shape)
    if shape.type_name == "list":
        return [with_members(item, shape.member, change) for item in value]
    if shape.type_name == "map":
        return {key: with_members(item, shape.value, change) for key, item in value.items()}
    return value


@pytest.mark.parametrize(("service", "name"), samples.all_operations())
def test_unknown_members_are_ignored_and_nulls_are_absent_at_every_depth(service, name):
    shape = input_shape(service, name)

    def decoded(change):
        return OPERATIONS[name].decode(json.dumps(with_members(valid_request(shape), shape, change)).encode())

    def required(value, structure):
        return {member: value[member] for member in structure.required_members}

    assert decoded(lambda value, _: {**value, "colour": {"name": ["green"]}}) == decoded(lambda value, _: value)
    assert decoded(lambda value, structure: {**dict.fromkeys(value), **required(value, structure)}) == decoded(required)


#: What messages of broken constraints say, by what in a shape makes them.
RULES = ("less than or equal", "greater than or equal", "enum value set", "regular expression", "must not be null")


def rules_of(shape):
    """Count the rules of a shape and of all in it."""
    metadata, kind = shape.metadata, shape.type_name
    rules = Counter({RULES[0]: "max" in metadata, RULES[1]: "min" in metadata, RULES[2]: "enum" in metadata})
    if kind in ("string", "list", "map") and metadata.get("min") == 0:
        rules[RULES[1]] = 0
    rules[RULES[3]] = "pattern" in metadata and metadata["pattern"] not in aws_shapes.ANY_TEXT
    rules[RULES[4]] = len(shape.required_members) if kind == "structure" else kind == "list"
    inner = shape.members.values() if kind == "structure" else [shape.member] if kind == "list" else []
    for part in [shape.key, shape.value] if kind == "map" else inner:
        rules.update(rules_of(part))
    return rules


@pytest.mark.parametrize(("service", "name"), samples.all_operations())
def test_each_rule_of_an_operation_is_broken_by_a_request(service, name):
    shape = input_shape(service, name)
    faults = list(invalid_values(shape))
    texts = [fault.message.rpartition(" at ")[2] for fault in faults if fault.code == INVALID]
    broken = {(rule, text.partition(" failed")[0]) for text in texts for rule in RULES if rule in text}

    assert +Counter(rule for rule, _ in broken) == +rules_of(shape)
    assert any(fault.code == WRONG_TYPE for fault in faults)
