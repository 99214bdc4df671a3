"""The registry of the kinds of jobs agrees with the contract."""

from __future__ import annotations

import pytest

from control_plane.domain.jobs import JobKind
from control_plane.jobs.registry import JOBS, kind_of
from protos.tailorbird.internal.v1 import jobs_pb2

PAYLOADS = jobs_pb2.Job.DESCRIPTOR.oneofs_by_name["payload"]
RESULTS = jobs_pb2.CompleteJobRequest.DESCRIPTOR.oneofs_by_name["result"]


def members(oneof) -> dict[str, str]:
    return {field.name: field.message_type.full_name for field in oneof.fields}


def test_every_kind_of_the_contract_has_a_payload_and_a_result():
    assert {f"JOB_KIND_{kind}" for kind in JobKind} | {"JOB_KIND_UNSPECIFIED"} == set(jobs_pb2.JobKind.keys())
    names = {kind.lower() for kind in JobKind}
    assert set(members(PAYLOADS)) == names
    assert set(members(RESULTS)) == names | {"stopped"}


@pytest.mark.parametrize("spec", JOBS.values(), ids=list(JOBS))
def test_an_entry_names_the_messages_of_its_kind(spec):
    assert members(PAYLOADS)[spec.kind.lower()] == spec.payload.DESCRIPTOR.full_name
    assert members(RESULTS)[spec.kind.lower()] == spec.result.DESCRIPTOR.full_name
    assert kind_of(spec.payload()) == spec.kind
