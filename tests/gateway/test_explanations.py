"""ExplainRecommendations at the gateway: a boto3 client that has the additional model calls it like any operation."""

import boto3
import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from google.protobuf.message_factory import GetMessageClass

from common.errors import ResourceNotFound
from common.rpc import Service
from common.testing import serving
from gateway.backends import BACKENDS
from gateway.protocol import ADDITIONS, CONTRACTS, MODELS, load_operations
from gateway.protocol.operations import service_model
from protos.tailorbird.runtime.v1 import explanation_service_pb2_grpc
from tests.gateway import samples
from tests.gateway.conftest import ADD, RecordingServicer, running_gateway

RUNTIME, NAME = "personalize-runtime", "ExplainRecommendations"
CONTRACT = ADDITIONS[RUNTIME]


class RecordingExplanations(explanation_service_pb2_grpc.ExplanationServiceServicer):
    """Answers with what a test has set."""

    def __init__(self) -> None:
        self.requests = []
        self.response = None

    def ExplainRecommendations(self, request, context):
        self.requests.append(request)
        if isinstance(self.response, Exception):
            raise self.response
        return self.response


@pytest.fixture(scope="module")
def gateway(shared_endpoint, rpc_keys):
    """Give a client that has the model, and the service behind the gateway."""
    explanations = RecordingExplanations()
    services = [
        Service(CONTRACTS[RUNTIME], ADD[RUNTIME], RecordingServicer(RUNTIME)),
        Service(CONTRACT, explanation_service_pb2_grpc.add_ExplanationServiceServicer_to_server, explanations),
    ]
    session = botocore.session.Session()
    session.set_config_variable("data_path", str(MODELS))
    with serving(services, keys=rpc_keys) as runtime:
        targets = {**shared_endpoint.targets, BACKENDS[RUNTIME]: runtime.target}
        with running_gateway(shared_endpoint.access_keys, targets, token=rpc_keys.token("gateway")) as url:
            client = boto3.session.Session(botocore_session=session).client(
                RUNTIME,
                endpoint_url=url,
                region_name="eu-west-1",
                aws_access_key_id=shared_endpoint.key.access_key_id,
                aws_secret_access_key=shared_endpoint.key.secret_access_key,
                config=Config(retries={"total_max_attempts": 1}),
            )
            yield client, explanations
            client.close()


def test_every_member_arrives_and_comes_back(gateway):
    client, explanations = gateway
    value = samples.request_value(service_model(RUNTIME).operation_model(NAME).input_shape)
    explanations.response = samples.fill(GetMessageClass(CONTRACT.methods_by_name[NAME].output_type)())

    answer = client.explain_recommendations(**value)

    del answer["ResponseMetadata"]
    assert samples.as_aws(explanations.requests[-1]) == value
    assert answer == samples.as_aws(explanations.response)


def test_errors_have_their_names(gateway):
    client, explanations = gateway
    explanations.response = ResourceNotFound("`recommendationId`: got RID-1, want another")

    with pytest.raises(client.exceptions.ResourceNotFoundException, match="RID-1"):
        client.explain_recommendations(recommendationId="RID-1")


def test_constraints_of_the_model_hold(gateway):
    client, _ = gateway

    with pytest.raises(ClientError, match="numContributions") as caught:
        client.explain_recommendations(numContributions=99)

    assert caught.value.response["Error"]["Code"] == "InvalidInputException"


@pytest.mark.parametrize("direction", ["input", "output"])
def test_model_and_contract_have_the_same_members(direction):
    operation = service_model(RUNTIME).operation_model(NAME)
    method = CONTRACT.methods_by_name[NAME]
    shape, message = (
        (operation.input_shape, method.input_type)
        if direction == "input"
        else (operation.output_shape, method.output_type)
    )

    assert deviations(shape, message) == []


def deviations(shape, message):
    """Return where the members of a structure are not the fields of a message, here and inside."""
    fields = {field.json_name: field for field in message.fields}
    differences = [f"{message.name}.{name}" for name in shape.members.keys() ^ fields.keys()]
    for name in shape.members.keys() & fields.keys():
        member = shape.members[name]
        inner = member.member if member.type_name == "list" else member
        if inner.type_name == "structure":
            differences += deviations(inner, fields[name].message_type)
        elif fields[name].enum_type is not None and set(inner.enum) != values_of(fields[name].enum_type):
            differences.append(f"{message.name}.{name}")
    return differences


def values_of(enum):
    """Return the names of an enum's values, without what they begin with, and without the first."""
    prefix = enum.values[0].name.removesuffix("UNSPECIFIED")
    return {value.name.removeprefix(prefix) for value in enum.values[1:]}


def test_without_the_model_a_client_is_as_before():
    session = botocore.session.Session()
    session.set_credentials("key", "secret")

    client = session.create_client(RUNTIME, region_name="us-east-1")

    assert not hasattr(client, "explain_recommendations")
    assert [item.path for item in load_operations() if item.name == NAME] == ["/explain-recommendations"]
