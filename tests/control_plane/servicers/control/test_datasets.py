"""Lists and tags on a real server."""

from __future__ import annotations

from protos.tailorbird.control.v1 import (
    common_pb2,
    dataset_group_pb2,
    tag_pb2,
)
from tests.control_plane.wire import make_group, unique_name


def test_all_pages_are_read_by_their_tokens(grpc_stub):
    for _ in range(3):
        make_group(grpc_stub)
    walked, token = [], None
    while True:
        page = grpc_stub.control.ListDatasetGroups(
            dataset_group_pb2.ListDatasetGroupsRequest(max_results=2, next_token=token)
        )
        walked += [item.dataset_group_arn for item in page.dataset_groups]
        if not page.HasField("next_token"):
            break
        token = page.next_token

    listed = grpc_stub.control.ListDatasetGroups(dataset_group_pb2.ListDatasetGroupsRequest()).dataset_groups
    assert walked == [item.dataset_group_arn for item in listed]


def test_tags_are_kept(grpc_stub):
    arn = grpc_stub.control.CreateDatasetGroup(
        dataset_group_pb2.CreateDatasetGroupRequest(
            name=unique_name("films"), tags=[tag_pb2.Tag(tag_key="team", tag_value="a")]
        )
    ).dataset_group_arn
    grpc_stub.control.TagResource(
        tag_pb2.TagResourceRequest(resource_arn=arn, tags=[tag_pb2.Tag(tag_key="stage", tag_value="")])
    )
    grpc_stub.control.UntagResource(common_pb2.UntagResourceRequest(resource_arn=arn, tag_keys=["team"]))

    tags = grpc_stub.control.ListTagsForResource(tag_pb2.ListTagsForResourceRequest(resource_arn=arn)).tags
    assert [(tag.tag_key, tag.tag_value) for tag in tags] == [("stage", "")]
