"""Operations on event trackers, and on the tags of resources."""

from __future__ import annotations

from control_plane.domain.fields import required
from control_plane.metadata_store.tables import EventTracker
from control_plane.servicers.control.messages import status, timestamp
from control_plane.servicers.control.methods import Context, Methods, optional, page_request, tags_of
from protos.tailorbird.control.v1 import common_pb2, event_tracker_pb2, tag_pb2

__all__ = ["EventTrackerMethods", "TagMethods"]


class EventTrackerMethods(Methods):
    """Event trackers."""

    def CreateEventTracker(
        self, request: event_tracker_pb2.CreateEventTrackerRequest, context: Context
    ) -> event_tracker_pb2.CreateEventTrackerResponse:
        """Create the event tracker of a dataset group."""
        tracker = self._transact(
            request,
            lambda unit: self._resources.trackers.create(
                unit,
                required("name", request.name),
                dataset_group_arn=required("datasetGroupArn", request.dataset_group_arn),
                tags=tags_of(request),
            ),
        )
        return event_tracker_pb2.CreateEventTrackerResponse(
            event_tracker_arn=tracker.arn, tracking_id=tracker.tracking_id
        )

    def DescribeEventTracker(
        self, request: event_tracker_pb2.DescribeEventTrackerRequest, context: Context
    ) -> event_tracker_pb2.DescribeEventTrackerResponse:
        """Describe an event tracker."""
        arn = required("eventTrackerArn", request.event_tracker_arn)
        tracker = self._view(request, lambda unit: self._resources.trackers.describe(unit, arn))
        return event_tracker_pb2.DescribeEventTrackerResponse(
            event_tracker=event_tracker_pb2.EventTracker(
                name=tracker.name,
                event_tracker_arn=tracker.arn,
                account_id=tracker.account,
                tracking_id=tracker.tracking_id,
                dataset_group_arn=tracker.dataset_group_arn,
                status=status(tracker.status),
                creation_date_time=timestamp(tracker.creation_date_time),
                last_updated_date_time=timestamp(tracker.last_updated_date_time),
            )
        )

    def ListEventTrackers(
        self, request: event_tracker_pb2.ListEventTrackersRequest, context: Context
    ) -> event_tracker_pb2.ListEventTrackersResponse:
        """List event trackers."""
        group = optional(request, "dataset_group_arn")
        page = self._view(
            request, lambda unit: self._resources.trackers.list(unit, page_request(request), dataset_group_arn=group)
        )
        return event_tracker_pb2.ListEventTrackersResponse(
            event_trackers=[_summary(tracker) for tracker in page.items], next_token=page.next_token
        )

    def DeleteEventTracker(
        self, request: event_tracker_pb2.DeleteEventTrackerRequest, context: Context
    ) -> event_tracker_pb2.DeleteEventTrackerResponse:
        """Delete an event tracker; the events stay."""
        arn = required("eventTrackerArn", request.event_tracker_arn)
        self._transact(request, lambda unit: self._resources.trackers.delete(unit, arn))
        return event_tracker_pb2.DeleteEventTrackerResponse()


class TagMethods(Methods):
    """Tags of resources."""

    def ListTagsForResource(
        self, request: tag_pb2.ListTagsForResourceRequest, context: Context
    ) -> tag_pb2.ListTagsForResourceResponse:
        """List the tags of a resource."""
        arn = required("resourceArn", request.resource_arn)
        tags = self._view(request, lambda unit: self._resources.tags.list(unit, arn))
        return tag_pb2.ListTagsForResourceResponse(
            tags=[tag_pb2.Tag(tag_key=tag.tag_key, tag_value=tag.tag_value) for tag in tags]
        )

    def TagResource(self, request: tag_pb2.TagResourceRequest, context: Context) -> tag_pb2.TagResourceResponse:
        """Add tags to a resource."""
        arn = required("resourceArn", request.resource_arn)
        self._transact(request, lambda unit: self._resources.tags.add(unit, arn, tags_of(request)))
        return tag_pb2.TagResourceResponse()

    def UntagResource(
        self, request: common_pb2.UntagResourceRequest, context: Context
    ) -> common_pb2.UntagResourceResponse:
        """Remove tags from a resource."""
        arn = required("resourceArn", request.resource_arn)
        self._transact(request, lambda unit: self._resources.tags.remove(unit, arn, request.tag_keys))
        return common_pb2.UntagResourceResponse()


def _summary(tracker: EventTracker) -> event_tracker_pb2.EventTrackerSummary:
    return event_tracker_pb2.EventTrackerSummary(
        name=tracker.name,
        event_tracker_arn=tracker.arn,
        status=status(tracker.status),
        creation_date_time=timestamp(tracker.creation_date_time),
        last_updated_date_time=timestamp(tracker.last_updated_date_time),
    )
