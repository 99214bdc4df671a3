"""Tokens of access keys at a service: their account, their policies, and the audit log of direct calls."""

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from structlog.testing import capture_logs

from common.auth import check_policy, current_caller
from common.errors import InvalidInput, ResourceNotFound
from common.rpc import Service, channel
from common.testing import serving
from protos.tailorbird.control.v1 import control_plane_service_pb2, control_plane_service_pb2_grpc
from protos.tailorbird.control.v1.solution_pb2 import (
    CreateSolutionRequest,
    CreateSolutionResponse,
    DeleteSolutionRequest,
    DescribeSolutionRequest,
    DescribeSolutionResponse,
)
from tests.common.auth.test_tokens import HOUR

ACCOUNT = "123456789012"
FILMS = f"arn:aws:personalize:us-east-1:{ACCOUNT}:solution/films"
ACCESS_KEY_ID = "TBAAAAAAAAAAAAAAAAAA"


class Solutions(control_plane_service_pb2_grpc.ControlPlaneServiceServicer):
    def __init__(self):
        self.callers = []

    def CreateSolution(self, request, context):
        self.callers.append(current_caller())
        return CreateSolutionResponse(solution_arn=f"arn:aws:personalize:us-east-1:{ACCOUNT}:solution/{request.name}")

    def DescribeSolution(self, request, context):
        self.callers.append(current_caller())
        return DescribeSolutionResponse()

    def DeleteSolution(self, request, context):
        raise ResourceNotFound("no such solution")


@pytest.fixture(scope="module")
def solutions():
    return Solutions()


@pytest.fixture(scope="module")
def server(solutions):
    service = Service(
        control_plane_service_pb2.DESCRIPTOR.services_by_name["ControlPlaneService"],
        control_plane_service_pb2_grpc.add_ControlPlaneServiceServicer_to_server,
        solutions,
    )
    with serving([service]) as running:
        yield running


@pytest.fixture
def stub(server):
    """Give stubs whose token is of a key with some policies, or of a role."""
    channels = []

    def open_stub(*documents, role="client", **claims):
        token = server.keys.issuer.issue(
            role,
            subject=ACCESS_KEY_ID,
            lifetime=HOUR,
            **{"account": ACCOUNT, "user": "shop", **claims},
            policies=[check_policy(document) for document in documents],
        )
        channels.append(channel(server.target, token=token))
        return control_plane_service_pb2_grpc.ControlPlaneServiceStub(channels[-1])

    yield open_stub
    for opened in channels:
        opened.close()


def policy(action, resource="*", effect="Allow"):
    return f'{{"Statement": {{"Effect": "{effect}", "Action": "personalize:{action}", "Resource": "{resource}"}}}}'


def refused(call, request, **options):
    with pytest.raises(grpc.RpcError) as caught:
        call(request, **options)
    return caught.value.code().name, caught.value.details()


def test_a_token_of_a_key_acts_in_its_account(stub, solutions):
    stub().DescribeSolution(DescribeSolutionRequest(solution_arn=FILMS))

    caller = solutions.callers[-1]
    assert (caller.role, caller.subject, caller.account) == ("client", ACCESS_KEY_ID, ACCOUNT)


def test_policies_of_a_token_are_evaluated_by_the_service(stub):
    reading = stub(policy("Describe*", FILMS))
    reading.DescribeSolution(DescribeSolutionRequest(solution_arn=FILMS))

    assert refused(reading.CreateSolution, CreateSolutionRequest(name="films")) == (
        "PERMISSION_DENIED",
        (
            f"User: arn:aws:iam::{ACCOUNT}:user/shop is not authorized to perform: personalize:CreateSolution on "
            f"resource: {FILMS} because no identity-based policy allows the personalize:CreateSolution action"
        ),
    )


def test_a_denial_in_a_token_wins(stub):
    denied = stub(policy("*"), policy("Describe*", FILMS, "Deny"))

    code, message = refused(denied.DescribeSolution, DescribeSolutionRequest(solution_arn=FILMS))

    assert code == "PERMISSION_DENIED"
    assert message.endswith("with an explicit deny in an identity-based policy")


def test_policies_do_not_close_reflection(server):
    token = server.keys.issuer.issue("client", subject="x", lifetime=HOUR, policies=[check_policy(policy("Nothing"))])
    with grpc.insecure_channel(server.target) as opened:
        listed = reflection_pb2_grpc.ServerReflectionStub(opened).ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")]),
            metadata=(("authorization", f"Bearer {token}"),),
        )

        assert len(next(listed).list_services_response.service) > 1


def test_policies_beyond_what_metadata_holds_are_refused_when_the_token_is_made(server):
    documents = [check_policy(policy("*", f"arn:{'x' * 2500}")) for _ in range(2)]

    with pytest.raises(InvalidInput, match=r"`policies`: got '\d+ bytes', want at most 4096"):
        server.keys.issuer.issue("client", subject="x", lifetime=HOUR, policies=documents)


def test_the_longest_policies_travel(stub):
    document = policy("Describe*", f"{FILMS}{'x' * 3800}*")

    assert (
        refused(stub(document).DescribeSolution, DescribeSolutionRequest(solution_arn=FILMS))[0] == "PERMISSION_DENIED"
    )


def audit(logs):
    return [line for line in logs if line.get("logger") == "tailorbird.audit"]


@pytest.mark.parametrize("role", ["client", "operator"])
def test_changes_by_outsiders_are_audited(stub, role):
    outsider = stub(role=role)
    with capture_logs() as logs:
        outsider.CreateSolution(CreateSolutionRequest(name="films"), metadata=(("x-request-id", "r-1"),))
        refused(outsider.DeleteSolution, DeleteSolutionRequest(solution_arn=FILMS))
        outsider.DescribeSolution(DescribeSolutionRequest(solution_arn=FILMS))

    common = {"account": ACCOUNT, "subject": ACCESS_KEY_ID, "role": role, "resource": FILMS}
    assert [{name: line[name] for name in ("operation", "outcome", *common)} for line in audit(logs)] == [
        {"operation": "CreateSolution", "outcome": "OK", **common},
        {"operation": "DeleteSolution", "outcome": "ResourceNotFoundException", **common},
    ]
    assert all(line["peer"].startswith("ipv4:127.0.0.1:") for line in audit(logs))


def test_denied_changes_are_audited(stub):
    with capture_logs() as logs:
        refused(stub(policy("Describe*")).DeleteSolution, DeleteSolutionRequest(solution_arn=FILMS))

    assert [line["outcome"] for line in audit(logs)] == ["AccessDeniedException"]


def test_calls_of_the_gateway_are_not_audited_again(server):
    with server.channel("gateway") as opened, capture_logs() as logs:
        control_plane_service_pb2_grpc.ControlPlaneServiceStub(opened).CreateSolution(
            CreateSolutionRequest(name="films")
        )

    assert audit(logs) == []
