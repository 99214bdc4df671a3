"""Which operations there are, and who may call them."""

from __future__ import annotations

import grpc
import pytest

from common.errors import PermissionDenied, Unauthenticated
from common.operations import missing_operations
from common.rpc import from_rpc_error
from protos.tailorbird.runtime.v1 import runtime_service_pb2 as messages
from runtime_service.servicers.recommendations import SERVICE, RuntimeServicer
from tests.runtime_service.world import user


def test_no_operation_is_missing():
    assert not missing_operations(RuntimeServicer, SERVICE)


@pytest.mark.parametrize("role", ["client", "gateway", "operator"])
def test_applications_and_people_may_ask(recommend, role):
    assert recommend(role=role, user_id=user(0)).item_list


@pytest.mark.parametrize("role", ["trainer", "runtime", "events"])
def test_other_processes_may_not(refused, role):
    assert isinstance(refused(role=role, user_id=user(0)), PermissionDenied)


def test_call_without_a_token_is_refused(grpc_stub):
    with pytest.raises(grpc.RpcError) as caught:
        grpc_stub.GetRecommendations(messages.GetRecommendationsRequest(), timeout=60)

    assert isinstance(from_rpc_error(caught.value), Unauthenticated)
