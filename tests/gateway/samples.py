"""Values made from the service models and the contracts, for tests that walk all operations mechanically.

Nothing here uses the gateway's own mapping: what it does is compared with this second, slower way.
"""

import json
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import botocore.session
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.protocol import ADDITIONS, MODELS
from protos.tailorbird.options.v1 import options_pb2

MOMENT = datetime(2025, 3, 4, 5, 6, 7, tzinfo=UTC)

#: A string for each pattern of the models.
BY_PATTERN = {
    r"arn:([a-z\d-]+):personalize:.*:.*:.+": "arn:aws:personalize:us-east-1:000000000000:campaign/films",
    r"arn:([a-z\d-]+):iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+": "arn:aws:iam::000000000000:role/personalize",
    r"arn:aws.*:kms:.*:[0-9]{12}:key/.*": "arn:aws:kms:us-east-1:000000000000:key/abc",
    r"[A-Za-z_][A-Za-z\d_]*": "COLUMN_1",
    r"[A-Za-z\d_]+": "DEVICE",
    r"[A-Za-z0-9_]+": "GENRE",
    r"^[A-Za-z_]+$": "Interactions",
    r"^[a-zA-Z0-9][a-zA-Z0-9\-_]*": "films-1",
    r"\p{ASCII}{0,1500}": "token==",
    r"(s3|http|https)://.+": "s3://bucket/folder/",
    r"rate\(\d+ days?\)": "rate(7 days)",
    r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$": "Größe: 1",
    r"^[\x20-\x7E]*[\x21-\x7E]+[\x20-\x7E]*$": "web shop",
}


@lru_cache(maxsize=1)
def _session():
    session = botocore.session.Session()
    session.set_config_variable("data_path", str(MODELS))
    return session


@lru_cache(maxsize=3)
def model(service):
    return _session().get_service_model(service)


def all_operations():
    """Return (service, operation) of the whole API, without those that Personalize does not have."""
    return [
        (service, name)
        for service in ("personalize", "personalize-events", "personalize-runtime")
        for name in model(service).operation_names
        if service not in ADDITIONS or name not in ADDITIONS[service].methods_by_name
    ]


def request_value(shape):
    """Return a valid value with every member set."""
    kind = shape.type_name
    if kind == "structure":
        return {name: request_value(member) for name, member in shape.members.items()}
    if kind == "list":
        return [request_value(shape.member)]
    if kind == "map":
        return {request_value(shape.key): request_value(shape.value)}
    if kind == "boolean":
        return True
    if kind == "timestamp":
        return MOMENT
    if kind == "integer":
        return max(shape.metadata.get("min", 3), min(3, shape.metadata.get("max", 3)))
    if kind in ("double", "float"):
        return 0.25
    assert kind == "string", kind
    if "enum" in shape.metadata:
        return shape.enum[-1]
    if "pattern" in shape.metadata:
        return BY_PATTERN[shape.metadata["pattern"]]
    return json.dumps({"genre": "a"}) if "ropert" in shape.name else "text ü"


def is_map(field):
    return field.type == FieldDescriptor.TYPE_MESSAGE and field.message_type.GetOptions().map_entry


def beside_aws(field):
    return field.GetOptions().Extensions[options_pb2.beside_aws]


def fill(message, *, depth=0):
    """Set every field of a message."""
    for index, field in enumerate(message.DESCRIPTOR.fields):
        if beside_aws(field):
            continue
        if is_map(field):
            value = field.message_type.fields_by_name["value"]
            target = getattr(message, field.name)
            for key in ("KEY_1", "KEY_2"):
                if value.message_type is not None:
                    fill(target[key], depth=depth + 1)
                else:
                    target[key] = _scalar(value, index)
        elif field.is_repeated:
            target = getattr(message, field.name)
            for place in range(2):
                if field.message_type is not None:
                    fill(target.add(), depth=depth + 1)
                else:
                    target.append(_scalar(field, index + place))
        elif field.message_type is not None:
            inner = getattr(message, field.name)
            if isinstance(inner, Timestamp):
                inner.FromDatetime(MOMENT + timedelta(milliseconds=123 + index))
            else:
                inner.SetInParent()
                fill(inner, depth=depth + 1)
        else:
            setattr(message, field.name, _scalar(field, index))
    return message


def _scalar(field, number):
    if field.enum_type is not None:
        return field.enum_type.values[-1].number
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return f"{field.name} {number} é"
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return True
    if field.cpp_type in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return number + 0.5
    return number + 1


def as_aws(message):
    """Return what a message says in the API's own words."""
    return {
        field.json_name: _field_as_aws(field, value) for field, value in message.ListFields() if not beside_aws(field)
    }


def _field_as_aws(field, value):
    if is_map(field):
        inner = field.message_type.fields_by_name["value"]
        return {key: _value_as_aws(inner, item, in_map=True) for key, item in value.items()}
    if field.is_repeated:
        return [_value_as_aws(field, item) for item in value]
    return _value_as_aws(field, value)


def _value_as_aws(field, value, *, in_map=False):
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].GetOptions().Extensions[options_pb2.aws_value]
    if isinstance(value, Timestamp):
        return value.ToDatetime(tzinfo=UTC)
    if field.message_type is None:
        return value
    if in_map and len(field.message_type.fields) == 1 and field.message_type.fields[0].is_repeated:
        return _field_as_aws(field.message_type.fields[0], getattr(value, field.message_type.fields[0].name))
    return as_aws(value)
