"""Which operations are built, in the code and on the reference page."""

from __future__ import annotations

import pytest

from common.errors import OperationUnavailable
from common.operations import State, operation_states, operations_page, unimplemented_methods
from control_plane.servicers.control.servicer import ControlPlaneServicer
from protos.tailorbird.internal.v1 import jobs_pb2, jobs_pb2_grpc

JOBS = jobs_pb2.DESCRIPTOR.services_by_name["JobService"]


@unimplemented_methods(JOBS)
class Half(jobs_pb2_grpc.JobServiceServicer):
    def LeaseJob(self, request, context):
        return jobs_pb2.LeaseJobResponse()


def test_what_a_servicer_defines_is_built_and_what_it_inherits_is_not():
    assert operation_states(Half) == {
        "LeaseJob": State.BUILT,
        "HeartbeatJob": State.UNBUILT,
        "CompleteJob": State.UNBUILT,
        "FailJob": State.UNBUILT,
        "ReleaseJob": State.UNBUILT,
    }


def test_methods_of_a_base_class_count_as_defined():
    class Part:
        def FailJob(self, request, context): ...

    @unimplemented_methods(JOBS)
    class Whole(Part): ...

    assert operation_states(Whole)["FailJob"] is State.BUILT


def test_unbuilt_method_raises_with_its_name():
    with pytest.raises(OperationUnavailable, match="`FailJob`"):
        Half().FailJob(None, None)


def test_page_counts_and_lists_every_operation():
    page = operations_page([Half, ControlPlaneServicer])

    assert page.startswith("# Operations\n")
    assert "## JobService\n\n1 of 5." in page
    assert "| `LeaseJob` | built |" in page
    assert "| `FailJob` | not built yet |" in page
    assert page.count("\n| `") == 5 + 71


def test_no_operation_of_the_control_plane_is_unbuilt():
    states = operation_states(ControlPlaneServicer)

    assert (len(states), set(states.values())) == (71, {State.BUILT})
