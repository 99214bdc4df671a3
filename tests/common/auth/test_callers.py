"""The roles that contracts admit."""

from common.auth import admitted_roles
from protos.tailorbird.internal.v1 import jobs_pb2


def test_contracts_say_who_may_call():
    service = jobs_pb2.DESCRIPTOR.services_by_name["JobService"].full_name
    assert admitted_roles(f"/{service}/LeaseJob") == {"trainer"}


def test_a_service_that_no_contract_names_admits_nobody():
    assert admitted_roles("/somebody.Else/Call") == frozenset()
