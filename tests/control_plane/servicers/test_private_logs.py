"""Nothing of what callers send stands in the log, whatever it is refused for."""

from __future__ import annotations

import grpc
import pytest
from structlog.testing import capture_logs

from protos.tailorbird.control.v1 import dataset_group_pb2, dataset_import_job_pb2, schema_pb2, solution_pb2, tag_pb2
from protos.tailorbird.control.v1.common_pb2 import DataSource
from protos.tailorbird.internal.v1 import jobs_pb2, trackers_pb2

MARK = "MARKED"
LONG = MARK * 3000


@pytest.mark.parametrize(
    ("service", "method", "request_"),
    [
        ("control", "CreateDatasetGroup", dataset_group_pb2.CreateDatasetGroupRequest(name=f"{MARK} {MARK}")),
        ("control", "CreateDatasetGroup", dataset_group_pb2.CreateDatasetGroupRequest(name=LONG)),
        ("control", "DescribeDatasetGroup", dataset_group_pb2.DescribeDatasetGroupRequest(dataset_group_arn=MARK)),
        ("control", "ListDatasetGroups", dataset_group_pb2.ListDatasetGroupsRequest(next_token=MARK)),
        ("control", "CreateSchema", schema_pb2.CreateSchemaRequest(name="s", schema=f'{{"{MARK}": "{MARK}')),
        ("control", "CreateSolution", solution_pb2.CreateSolutionRequest(name=f"{MARK}.", dataset_group_arn=MARK)),
        (
            "control",
            "CreateDatasetImportJob",
            dataset_import_job_pb2.CreateDatasetImportJobRequest(
                job_name="j", dataset_arn=MARK, data_source=DataSource(data_location=f"s3://{MARK}/{MARK}")
            ),
        ),
        (
            "control",
            "TagResource",
            tag_pb2.TagResourceRequest(resource_arn=MARK, tags=[tag_pb2.Tag(tag_key=MARK, tag_value=LONG)]),
        ),
        ("jobs", "HeartbeatJob", jobs_pb2.HeartbeatJobRequest(job_id=MARK, lease_token=MARK)),
        ("trackers", "ResolveEventTracker", trackers_pb2.ResolveEventTrackerRequest(tracking_id=MARK)),
    ],
)
def test_rejections_are_logged_without_the_content_of_the_request(grpc_stub, service, method, request_):
    with capture_logs() as logs, pytest.raises(grpc.RpcError):
        getattr(getattr(grpc_stub, service), method)(request_)

    loud = [line for line in logs if line["log_level"] != "debug" and line["event"] == "rpc"]
    assert [line["method"].rpartition("/")[2] for line in loud] == [method]
    assert MARK not in str(logs)
