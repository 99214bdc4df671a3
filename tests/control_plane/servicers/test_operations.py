"""Which operations servicers have, in the code and on the reference page."""

from __future__ import annotations

from common.operations import missing_operations, operations_page
from control_plane.servicers.control.servicer import CONTROL_PLANE_SERVICE, ControlPlaneServicer
from protos.tailorbird.internal.v1 import jobs_pb2, jobs_pb2_grpc

JOBS = jobs_pb2.DESCRIPTOR.services_by_name["JobService"]


class LeaseMethods:
    def LeaseJob(self, request, context): ...


class Half(LeaseMethods, jobs_pb2_grpc.JobServiceServicer):
    def FailJob(self, request, context): ...


def test_what_a_servicer_or_its_parts_define_is_there_and_what_is_generated_is_not():
    assert missing_operations(Half, JOBS) == {"HeartbeatJob", "CompleteJob", "ReleaseJob"}


def test_page_counts_and_lists_every_operation():
    page = operations_page([CONTROL_PLANE_SERVICE], additional={JOBS: "Ours."})

    assert page.startswith("# Operations\n\nAll 71 operations")
    assert "## JobService\n\nOurs.\n" in page
    assert page.count("\n| `") == 71 + 5


def test_the_control_plane_has_every_operation():
    assert not missing_operations(ControlPlaneServicer, CONTROL_PLANE_SERVICE)
