"""`tailorbird solutions compare` against a real control plane."""

import json
from contextlib import ExitStack
from datetime import timedelta

import pytest
from google.protobuf import json_format

from cli.app import Env, app, run
from cli.connection import resolve_connection
from cli.installation import Installation, Running
from common.auth import TokenIssuer, TokenVerifier
from common.errors import Unauthenticated
from common.settings import TlsFiles
from common.testing import Keys, serving
from protos.tailorbird.storage.v1 import evaluation_pb2
from tests.cli.evaluations import evaluation
from tests.control_plane.world import make_world


@pytest.fixture
def world(tmp_path):
    made = make_world(tmp_path)
    yield made
    made.plane.long_polls.close()
    made.metadata_store.close()


@pytest.fixture
def installation(tmp_path):
    made = Installation(tmp_path / "data")
    made.prepare()
    return made


@pytest.fixture
def control_plane_address(world, installation):
    """Serve the control plane as `tailorbird up` would; gives its address."""
    private, public = installation.keys.private_key.read_bytes(), installation.keys.public_key.read_bytes()
    keys = Keys(TokenIssuer(private), TokenVerifier(public), private, public)
    with ExitStack() as stack:
        running = stack.enter_context(serving(world.plane.services, keys=keys))
        # The gateway's port is the one before the control plane's.
        endpoint = f"http://127.0.0.1:{running.server.port - 1}"
        stack.enter_context(installation.lock(Running(process_id=1, endpoint=endpoint)))
        yield running.target


@pytest.fixture
def versions(world):
    """Train two versions of a solution, the second worse."""
    solution = world.solution(world.imported_group())
    arns = []
    for evaluated in (evaluation(0.75), evaluation(0.25, evaluation_pb2.VERDICT_WORSE)):
        world.clock.advance(seconds=1)
        arns.append(world.version(solution))
        document = json_format.MessageToDict(evaluated, preserving_proto_field_name=True)
        world.finish_next({"metrics": {"coverage": 0.5}, "evaluation": document})
    return solution, *arns


@pytest.fixture
def tailorbird():
    def call(*arguments):
        return run(app, Env(environ={}), ["solutions", "compare", *arguments])

    return call


def test_everything_comes_as_json(tailorbird, control_plane_address, installation, versions, capsys):
    solution, first, second = versions

    assert tailorbird(solution, "--output", "json", "--data-dir", str(installation.root)) == 0

    shown = json.loads(capsys.readouterr().out)
    assert [item["solution_version_arn"] for item in shown] == [second, first]
    assert shown[0]["evaluation"]["comparison"]["verdict"] == "VERDICT_WORSE"
    assert json_format.ParseDict(shown[1]["evaluation"], evaluation_pb2.Evaluation()) == evaluation(0.75)


def test_named_versions_alone_are_shown(tailorbird, control_plane_address, installation, versions, capsys):
    solution, first, _ = versions
    assert tailorbird(solution, first, "--output", "json", "--data-dir", str(installation.root)) == 0
    assert [item["solution_version_arn"] for item in json.loads(capsys.readouterr().out)] == [first]


def test_a_control_plane_can_be_given_by_its_address(
    tailorbird, control_plane_address, installation, versions, tmp_path, capsys
):
    token = tmp_path / "token"
    token.write_text(installation.token_file("gateway").read_text())
    options = ("--control-plane", control_plane_address, "--token-file", str(token))
    assert tailorbird(versions[0], *options) == 1
    assert "role gateway" in capsys.readouterr().err
    token.write_text(installation.keys.issuer().issue("client", subject="test", lifetime=timedelta(minutes=1)))
    assert tailorbird(versions[0], *options) == 0


def test_an_error_of_the_control_plane_is_shown(tailorbird, control_plane_address, installation, capsys):
    unknown = "arn:aws:personalize:eu-west-1:123456789012:solution/unknown"
    assert tailorbird(unknown, "--data-dir", str(installation.root)) == 1
    assert "does not exist." in capsys.readouterr().err


def test_a_token_of_another_installation_is_refused(control_plane_address, tmp_path, versions):
    other = Installation(tmp_path / "other")
    other.prepare()
    (tmp_path / "token").write_text(
        other.keys.issuer().issue("operator", subject="test", lifetime=timedelta(minutes=1))
    )
    connection = resolve_connection(
        tmp_path, target=control_plane_address, token_file=tmp_path / "token", tls=TlsFiles()
    )
    with pytest.raises(Unauthenticated), connection.open() as channel:
        channel.unary_unary("/tailorbird.control.v1.EvaluationService/CompareSolutionVersions")(b"")


def test_nothing_runs_in_the_data_directory(tailorbird, installation, capsys):
    assert tailorbird("arn", "--data-dir", str(installation.root)) == 1
    assert "want one in which `tailorbird up` runs" in capsys.readouterr().err
