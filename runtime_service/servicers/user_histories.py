"""UserHistoryService: tells operators whether this host has a user's history."""

from __future__ import annotations

from typing import Any

from common.arn import account_of
from common.auth import current_caller
from common.errors import ResourceNotFound, invalid
from common.rpc import Service
from protos.tailorbird.internal.v1 import user_histories_pb2, user_histories_pb2_grpc
from runtime_service.domain.requests import check_user
from runtime_service.history import HistoryReader

__all__ = ["UserHistoryServicer", "user_history_service"]


class UserHistoryServicer(user_histories_pb2_grpc.UserHistoryServiceServicer):
    """Looks into the histories of the host.

    Args:
        histories: Recent events of users.
        runtime_id: Name of this worker, unique among all.
    """

    def __init__(self, histories: HistoryReader, *, runtime_id: str) -> None:
        self._histories = histories
        self._runtime_id = runtime_id

    async def FindUserHistory(
        self,
        request: user_histories_pb2.FindUserHistoryRequest,
        context: Any,  # noqa: ARG002 - gRPC passes it
    ) -> user_histories_pb2.FindUserHistoryResponse:
        """Return how many events there are of a user."""
        if not request.dataset_group_arn:
            raise invalid("datasetGroupArn", got="", want="the ARN of a dataset group")
        if account_of(request.dataset_group_arn) != current_caller().account:
            # No answer rather than 0 events, which is a proof to those who ask.
            raise ResourceNotFound(
                f"`datasetGroupArn`: got {request.dataset_group_arn[:256]!r}, want that of a dataset group of the "
                "caller's account"
            )
        history = self._histories.find(request.dataset_group_arn, check_user(request.user_id, required=True))
        events = 0 if history is None else len(history.events())
        return user_histories_pb2.FindUserHistoryResponse(runtime_id=self._runtime_id, events=events)


def user_history_service(servicer: UserHistoryServicer) -> Service:
    """Return the service for operators."""
    return Service(
        user_histories_pb2.DESCRIPTOR.services_by_name["UserHistoryService"],
        user_histories_pb2_grpc.add_UserHistoryServiceServicer_to_server,
        servicer,
    )
