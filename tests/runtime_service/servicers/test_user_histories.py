"""Operators ask a host for a user's history; nobody else may."""

from __future__ import annotations

import grpc
import pytest

from common.errors import InvalidInput, PermissionDenied, ResourceNotFound, Unauthenticated
from common.rpc import from_rpc_error
from common.testing import serving
from protos.tailorbird.internal.v1.user_histories_pb2 import FindUserHistoryRequest
from protos.tailorbird.internal.v1.user_histories_pb2_grpc import UserHistoryServiceStub
from runtime_service.servicers.user_histories import UserHistoryServicer, user_history_service
from tests.runtime_service.servicers.wire import KEYS, as_role
from tests.runtime_service.world import GROUP


@pytest.fixture(scope="module")
def find(histories):
    servicer = UserHistoryServicer(histories, runtime_id="host-7-0")
    with (
        serving([user_history_service(servicer)], keys=KEYS) as running,
        grpc.insecure_channel(running.target) as channel,
    ):

        def call(user_id, *, group=GROUP, role="operator", account=None):
            request = FindUserHistoryRequest(dataset_group_arn=group, user_id=user_id)
            return UserHistoryServiceStub(channel).FindUserHistory(
                request, metadata=as_role(role, account=account) if role else [], timeout=60
            )

        yield call


def test_history_of_a_user_is_found_in_its_group_alone(find):
    assert (find("new-user").runtime_id, find("new-user").events) == ("host-7-0", 1)
    assert find("nobody").events == 0
    assert find("new-user", group=f"{GROUP}-another").events == 0


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"role": "client"}, PermissionDenied),
        ({"role": "gateway"}, PermissionDenied),
        ({"role": None}, Unauthenticated),
        ({"user_id": ""}, InvalidInput),
        ({"group": ""}, InvalidInput),
        # Of another account, or of none.
        ({"account": "111122223333"}, ResourceNotFound),
        ({"group": "another"}, ResourceNotFound),
    ],
)
def test_operators_alone_may_ask_and_for_somebody(find, arguments, kind):
    with pytest.raises(grpc.RpcError) as caught:
        find(**{"user_id": "new-user", **arguments})

    assert isinstance(from_rpc_error(caught.value), kind)
