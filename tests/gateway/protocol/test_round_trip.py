"""Every operation of the API, sent by boto3, arrives whole at its service, and the answer comes back whole."""

import pytest
from botocore import xform_name

from gateway.protocol import ADDITIONS, load_operations
from tests.gateway import samples
from tests.gateway.conftest import response_class

ALL = samples.all_operations()


def call(endpoint, service, operation, value):
    response = getattr(endpoint.client(service), xform_name(operation))(**value)
    metadata = response.pop("ResponseMetadata")
    assert metadata["HTTPStatusCode"] == 200
    return response


def test_the_gateway_serves_every_operation_there_is():
    served = [(item.service, item.name) for item in load_operations()]
    additions = [(service, method.name) for service, contract in ADDITIONS.items() for method in contract.methods]
    assert [item for item in served if item not in additions] == ALL
    assert set(additions) < set(served)
    assert len(ALL) == 79


@pytest.mark.parametrize(("service", "operation"), ALL)
def test_every_member_of_a_request_arrives(endpoint, service, operation):
    shape = samples.model(service).operation_model(operation).input_shape
    value = samples.request_value(shape)

    call(endpoint, service, operation, value)

    (request,) = endpoint.servicers[service].requests
    assert samples.as_aws(request) == value


@pytest.mark.parametrize(("service", "operation"), ALL)
def test_every_member_of_a_response_comes_back(endpoint, service, operation):
    model = samples.model(service).operation_model(operation)
    answer = samples.fill(response_class(service, operation)())
    endpoint.servicers[service].responses[operation] = answer

    assert call(endpoint, service, operation, samples.request_value(model.input_shape)) == samples.as_aws(answer)


@pytest.mark.parametrize(("service", "operation"), ALL)
def test_an_empty_response_has_its_lists_and_nothing_else(endpoint, service, operation):
    model = samples.model(service).operation_model(operation)
    members = model.output_shape.members if model.output_shape else {}
    lists = {name: [] for name, member in members.items() if member.type_name == "list"}
    maps = {name: {} for name, member in members.items() if member.type_name == "map"}

    assert call(endpoint, service, operation, samples.request_value(model.input_shape)) == {**lists, **maps}


@pytest.mark.parametrize(("service", "operation"), ALL)
def test_optional_members_may_be_left_out(endpoint, service, operation):
    shape = samples.model(service).operation_model(operation).input_shape
    value = {name: samples.request_value(shape.members[name]) for name in shape.required_members}

    call(endpoint, service, operation, value)

    (request,) = endpoint.servicers[service].requests
    assert samples.as_aws(request) == value
