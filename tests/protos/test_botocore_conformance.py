"""The contracts and botocore's models say the same: every operation, member, type and value, in both directions."""

import copy
from collections.abc import Iterator

import pytest
from botocore.loaders import Loader
from google.protobuf.descriptor import FieldDescriptor

from protos.tailorbird.control.v1 import control_plane_service_pb2
from protos.tailorbird.events.v1 import events_service_pb2
from protos.tailorbird.options.v1 import options_pb2
from protos.tailorbird.runtime.v1 import runtime_service_pb2

SERVICES = {
    "personalize": (control_plane_service_pb2, "ControlPlaneService", 71),
    "personalize-events": (events_service_pb2, "EventsService", 5),
    "personalize-runtime": (runtime_service_pb2, "RuntimeService", 3),
}
SCALARS = {
    "string": FieldDescriptor.TYPE_STRING,
    "integer": FieldDescriptor.TYPE_INT32,
    "long": FieldDescriptor.TYPE_INT64,
    "float": FieldDescriptor.TYPE_FLOAT,
    "double": FieldDescriptor.TYPE_DOUBLE,
    "boolean": FieldDescriptor.TYPE_BOOL,
    "blob": FieldDescriptor.TYPE_BYTES,
}
# botocore leaves states as free text; ours are an enum whose values carry that text.
STATUS = "tailorbird.control.v1.ResourceStatus"


class Walk:
    """Compares one model with one service and collects every deviation as a sentence."""

    def __init__(self, model, service) -> None:
        self.shapes = model["shapes"]
        self.operations = model["operations"]
        self.methods = {method.name: method for method in service.methods}
        self.seen = set()

    def deviations(self) -> Iterator[str]:
        for name in self.operations.keys() ^ self.methods.keys():
            yield f"{name}: on one side only"
        for name in self.operations.keys() & self.methods.keys():
            operation, method = self.operations[name], self.methods[name]
            yield from self.structure(operation["input"]["shape"], method.input_type, name)
            if "output" in operation:
                yield from self.structure(operation["output"]["shape"], method.output_type, name)
            elif method.output_type.fields:
                yield f"{name}: answers something, the model nothing"

    def structure(self, shape_name, message, path) -> Iterator[str]:
        if (shape_name, message.full_name) in self.seen:
            return
        self.seen.add((shape_name, message.full_name))
        members = self.shapes[shape_name].get("members", {})
        fields = {
            field.json_name: field
            for field in message.fields
            if not field.GetOptions().Extensions[options_pb2.beside_aws]
        }
        for name in members.keys() ^ fields.keys():
            yield f"{path}.{name}: on one side only"
        for name in members.keys() & fields.keys():
            yield from self.member(
                self.shapes[members[name]["shape"]], members[name]["shape"], fields[name], f"{path}.{name}"
            )

    def member(self, shape, shape_name, field, path) -> Iterator[str]:
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        if (shape["type"] == "map") != is_map:
            yield f"{path}: a map on one side only"
        elif (shape["type"] == "list") != (field.is_repeated and not is_map):
            yield f"{path}: a list on one side only"
        elif shape["type"] == "list":
            inner = shape["member"]["shape"]
            yield from self.value(self.shapes[inner], inner, field, path)
        elif shape["type"] == "map":
            inner = shape["value"]["shape"]
            yield from self.value(self.shapes[inner], inner, field.message_type.fields_by_name["value"], path)
        else:
            if not field.has_presence:
                yield f"{path}: absence cannot be told from zero"
            yield from self.value(shape, shape_name, field, path)

    def value(self, shape, shape_name, field, path) -> Iterator[str]:
        kind = shape["type"]
        if kind == "structure" and field.message_type is not None:
            yield from self.structure(shape_name, field.message_type, path)
        elif kind == "timestamp" and field.message_type is not None:
            if field.message_type.full_name != "google.protobuf.Timestamp":
                yield f"{path}: no Timestamp"
        elif kind == "list" and field.message_type is not None:
            # protobuf has no map of lists: the list is wrapped in a message with one repeated field `values`.
            yield from self.member(shape, shape_name, field.message_type.fields_by_name["values"], path)
        elif field.enum_type is not None:
            yield from self.enum(shape, field.enum_type, path)
        elif "enum" in shape or SCALARS.get(kind) != field.type:
            yield f"{path}: {kind} does not fit field type {field.type}"

    def enum(self, shape, enum, path) -> Iterator[str]:
        if enum.full_name == STATUS and path.endswith(".status"):
            return
        ours = [value.GetOptions().Extensions[options_pb2.aws_value] for value in enum.values if value.number]
        if sorted(ours) != sorted(shape.get("enum", [])):
            yield f"{path}: values {sorted(ours)}, model has {sorted(shape.get('enum', []))}"


def load(name):
    return Loader().load_service_model(name, "service-2")


def service_of(name):
    module, service, _ = SERVICES[name]
    return module.DESCRIPTOR.services_by_name[service]


@pytest.mark.parametrize("name", SERVICES)
def test_contract_and_model_agree(name):
    assert list(Walk(load(name), service_of(name)).deviations()) == []


@pytest.mark.parametrize("name", SERVICES)
def test_every_operation_is_there(name):
    assert len(service_of(name).methods) == SERVICES[name][2]


def doctored(change):
    model = copy.deepcopy(load("personalize"))
    change(model["shapes"])
    return list(Walk(model, service_of("personalize")).deviations())


@pytest.mark.parametrize(
    ("edit", "deviation"),
    [
        (lambda s: s["Campaign"]["members"].update(colour={"shape": "Name"}), "colour: on one side only"),
        (lambda s: s["Campaign"]["members"].pop("name"), "name: on one side only"),
        (
            lambda s: s["CampaignConfig"]["members"].update(syncWithLatestSolutionVersion={"shape": "Name"}),
            "does not fit",
        ),
        (lambda s: s["Domain"]["enum"].append("MUSIC"), "MUSIC"),
        (lambda s: s["Tags"].update(type="structure", members={}), "a list on one side only"),
        (lambda s: s["HyperParameters"]["value"].update(shape="Boolean"), "does not fit"),
        (lambda s: s["Date"].update(type="string"), "does not fit"),
    ],
)
def test_a_deviation_is_reported(edit, deviation):
    assert any(deviation in line for line in doctored(edit))


def configurations(method):
    """Yield the messages inside of a request or answer whose names say that they configure something."""
    queue, seen = [method.input_type, method.output_type], set()
    while queue:
        message = queue.pop()
        if message.full_name in seen:
            continue
        seen.add(message.full_name)
        queue += [field.message_type for field in message.fields if field.message_type is not None]
        # Defaults are a recipe's own and sent by nobody.
        sent = message.name.endswith(("Config", "Ranges", "Range")) and not message.name.startswith("Default")
        if sent and any(field.is_repeated for field in message.fields):
            yield message


def test_every_configuration_with_lists_or_maps_can_tell_empty_from_absent():
    has_empty_members = {
        message.full_name: "empty_members" in message.fields_by_name
        for method in service_of("personalize").methods
        for message in configurations(method)
    }

    assert len(has_empty_members) >= 9
    assert [name for name, has in has_empty_members.items() if not has] == []


def test_an_operation_without_contract_is_found():
    model = copy.deepcopy(load("personalize"))
    model["operations"]["CreateMiracle"] = model["operations"]["CreateCampaign"]
    assert list(Walk(model, service_of("personalize")).deviations()) == ["CreateMiracle: on one side only"]


def test_every_state_carries_its_text():
    status = control_plane_service_pb2.DESCRIPTOR.pool.FindEnumTypeByName(STATUS)
    texts = {
        value.name: value.GetOptions().Extensions[options_pb2.aws_value] for value in status.values if value.number
    }
    assert texts["RESOURCE_STATUS_CREATE_IN_PROGRESS"] == "CREATE IN_PROGRESS"
    assert all(name == "RESOURCE_STATUS_" + text.replace(" ", "_") for name, text in texts.items())
