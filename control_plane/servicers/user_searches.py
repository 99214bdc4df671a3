"""UserSearchService: Tailorbird's own operations that prove where a user is and is not."""

from __future__ import annotations

import grpc

from control_plane.domain.fields import required
from control_plane.metadata_store import MetadataStore
from control_plane.resources.user_searches import UserSearches
from control_plane.servicers.control.messages import status
from control_plane.servicers.control.methods import AccountMethods, optional
from protos.tailorbird.control.v1 import user_search_service_pb2, user_search_service_pb2_grpc

__all__ = ["USER_SEARCH_SERVICE", "UserSearchServicer"]

USER_SEARCH_SERVICE = user_search_service_pb2.DESCRIPTOR.services_by_name["UserSearchService"]


class UserSearchServicer(AccountMethods, user_search_service_pb2_grpc.UserSearchServiceServicer):
    """Turns calls of operators into searches.

    Args:
        metadata_store: The database of the searches.
        searches: Submits and shows them.
    """

    def __init__(self, metadata_store: MetadataStore, searches: UserSearches) -> None:
        super().__init__(metadata_store)
        self._searches = searches

    def CreateUserSearch(
        self, request: user_search_service_pb2.CreateUserSearchRequest, context: grpc.ServicerContext
    ) -> user_search_service_pb2.CreateUserSearchResponse:
        """Have a user looked for."""
        user_id = required("userId", request.user_id)
        search = self._transact(
            request,
            lambda unit: self._searches.create(
                unit,
                user_id,
                dataset_group_arn=optional(request, "dataset_group_arn"),
                data_deletion_job_arn=optional(request, "data_deletion_job_arn"),
            ),
        )
        return user_search_service_pb2.CreateUserSearchResponse(user_search_arn=search.arn)

    def DescribeUserSearch(
        self, request: user_search_service_pb2.DescribeUserSearchRequest, context: grpc.ServicerContext
    ) -> user_search_service_pb2.DescribeUserSearchResponse:
        """Tell how far a search is, and what it came to."""
        arn = required("userSearchArn", request.user_search_arn)
        search, runtime_ids = self._view(request, lambda unit: self._searches.describe(unit, arn))
        return user_search_service_pb2.DescribeUserSearchResponse(
            user_search=user_search_service_pb2.UserSearch(
                user_search_arn=search.arn,
                dataset_group_arn=search.dataset_group_arn,
                status=status(search.status),
                failure_reason=search.failure_reason,
                report=search.report,
                runtime_ids=runtime_ids,
            )
        )
