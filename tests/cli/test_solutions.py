"""`tailorbird solutions compare` against a real control plane, as its data directory or its address is named."""

import io
import json
from contextlib import ExitStack
from datetime import timedelta

import pytest
from google.protobuf import json_format
from rich.console import Console

from cli.app import Env, app, run
from cli.comparison import comparison_view, metric_label
from cli.connection import resolve_connection
from cli.installation import Installation, Running
from common.auth import TokenIssuer, TokenVerifier
from common.errors import InvalidInput, Unauthenticated
from common.settings import TlsFiles
from common.testing import Keys, serving
from protos.tailorbird.control.v1.evaluation_service_pb2 import SolutionVersionEvaluation
from protos.tailorbird.storage.v1 import evaluation_pb2
from tests.control_plane.world import make_world


def measured(name, value, low=None, high=None):
    return evaluation_pb2.MeasuredMetric(name=name, value=value, low=low, high=high, users=40)


def evaluation(value=0.25, verdict=None):
    model = evaluation_pb2.ModelEvaluation(
        name="model",
        metrics=[measured("coverage", 0.5), measured("precision_at_5", value, value - 0.05, value + 0.05)],
        metrics_without_repeats=[measured("coverage", 0.125)],
    )
    popular = evaluation_pb2.ModelEvaluation(name="popularity", metrics=[measured("precision_at_5", 0.0625, 0.0, 0.1)])
    found = evaluation_pb2.Evaluation(test_users=40, model=model, baselines=[popular])
    if verdict is not None:
        found.comparison.CopyFrom(
            evaluation_pb2.Comparison(
                solution_version_arn="arn:aws:personalize:eu-west-1:123456789012:solution/films/before",
                verdict=verdict,
                users=38,
                reason="significantly worse than the one before",
                differences=[
                    evaluation_pb2.MetricDifference(
                        name="precision_at_5", value=value, predecessor=0.75, low=-0.625, high=-0.375
                    )
                ],
            )
        )
    return found


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
def served(world, installation):
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
    for found in (evaluation(0.75), evaluation(0.25, evaluation_pb2.VERDICT_WORSE)):
        world.clock.advance(seconds=1)
        arns.append(world.version(solution))
        document = json_format.MessageToDict(found, preserving_proto_field_name=True)
        world.finish_next({"metrics": {"coverage": 0.5}, "evaluation": document})
    return solution, *arns


@pytest.fixture
def tailorbird():
    def call(*arguments):
        return run(app, Env(environ={}), ["solutions", "compare", *arguments])

    return call


def test_everything_comes_as_json(tailorbird, served, installation, versions, capsys):
    solution, first, second = versions

    assert tailorbird(solution, "--output", "json", "--data-dir", str(installation.root)) == 0

    found = json.loads(capsys.readouterr().out)
    assert [item["solution_version_arn"] for item in found] == [second, first]
    assert found[0]["evaluation"]["comparison"]["verdict"] == "VERDICT_WORSE"
    assert json_format.ParseDict(found[1]["evaluation"], evaluation_pb2.Evaluation()) == evaluation(0.75)


def test_named_versions_alone_are_shown(tailorbird, served, installation, versions, capsys):
    solution, first, _ = versions
    assert tailorbird(solution, first, "--output", "json", "--data-dir", str(installation.root)) == 0
    assert [item["solution_version_arn"] for item in json.loads(capsys.readouterr().out)] == [first]


def test_a_control_plane_is_reached_by_its_address(tailorbird, served, installation, versions, tmp_path, capsys):
    token = tmp_path / "token"
    token.write_text(installation.token_file("gateway").read_text())
    options = ("--control-plane", served, "--token-file", str(token))
    assert tailorbird(versions[0], *options) == 1
    assert "role gateway" in capsys.readouterr().err
    token.write_text(installation.keys.issuer().issue("client", subject="test", lifetime=timedelta(minutes=1)))
    assert tailorbird(versions[0], *options) == 0


def test_what_the_control_plane_refuses_is_told(tailorbird, served, installation, capsys):
    unknown = "arn:aws:personalize:eu-west-1:123456789012:solution/unknown"
    assert tailorbird(unknown, "--data-dir", str(installation.root)) == 1
    assert "does not exist." in capsys.readouterr().err


def test_a_key_of_another_installation_opens_nothing(served, tmp_path, versions):
    other = Installation(tmp_path / "other")
    other.prepare()
    (tmp_path / "token").write_text(
        other.keys.issuer().issue("operator", subject="test", lifetime=timedelta(minutes=1))
    )
    where = resolve_connection(tmp_path, target=served, token_file=tmp_path / "token", tls=TlsFiles())
    with pytest.raises(Unauthenticated), where.open() as channel:
        channel.unary_unary("/tailorbird.control.v1.EvaluationService/CompareSolutionVersions")(b"")


def test_nothing_runs_in_the_data_directory(tailorbird, installation, capsys):
    assert tailorbird("arn", "--data-dir", str(installation.root)) == 1
    assert "want one in which `tailorbird up` runs" in capsys.readouterr().err


def test_another_control_plane_wants_a_token(tmp_path):
    with pytest.raises(InvalidInput, match="`token-file`"):
        resolve_connection(tmp_path, target="127.0.0.1:7401", token_file=None, tls=TlsFiles())
    with pytest.raises(InvalidInput, match="cannot be read"):
        resolve_connection(tmp_path, target="127.0.0.1:7401", token_file=tmp_path / "none", tls=TlsFiles())


@pytest.mark.parametrize("host", ["control-plane", "10.0.0.7", "[2001:db8::1]"])
def test_no_token_goes_to_another_host_in_plain_text(tmp_path, host):
    (tmp_path / "token").write_text("secret")
    with pytest.raises(InvalidInput, match="`tls-ca-file`"):
        resolve_connection(tmp_path, target=f"{host}:7401", token_file=tmp_path / "token", tls=TlsFiles())


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_plain_text_is_spoken_with_this_machine(tmp_path, host):
    (tmp_path / "token").write_text("secret\n")
    assert (
        resolve_connection(tmp_path, target=f"{host}:7401", token_file=tmp_path / "token", tls=TlsFiles()).token
        == "secret"
    )


def shown(*versions, **options):
    file = io.StringIO()
    Console(file=file, width=200).print(comparison_view(versions, **options))
    return file.getvalue()


def version(name, found=None, refusals=()):
    return SolutionVersionEvaluation(
        solution_version_arn=f"arn:aws:personalize:eu-west-1:123456789012:solution/films/{name}",
        evaluation=found,
        refusals=refusals,
    )


def test_versions_and_baselines_stand_beside_each_other():
    text = shown(version("second", evaluation(0.25)), version("first", evaluation(0.75)))
    (row,) = (line for line in text.splitlines() if "precision@5" in line)
    assert row.replace(" ", "").strip("│").split("│") == [
        "precision@5", "0.2500(0.2000to0.3000)", "0.7500(0.7000to0.8000)", "0.0625(0.0000to0.1000)",
    ]  # fmt: skip
    assert "popularity" in text


def test_coverage_has_no_interval():
    (row,) = (line for line in shown(version("first", evaluation())).splitlines() if "coverage" in line)
    assert "0.5000" in row
    assert "to" not in row


def test_lists_without_repeats_are_shown_when_asked_for():
    text = shown(version("first", evaluation()), without_repeats=True)
    assert "without repeats" in text
    assert "0.1250" in text
    assert "precision" not in text


def test_verdict_differences_and_refusals_are_told():
    refused = {"campaign_arn": "arn:campaign", "reason": "refused: too bad"}
    worse = evaluation(0.25, evaluation_pb2.VERDICT_WORSE)
    worse.warnings.append("Interactions are left out.")
    text = shown(version("second", worse, [refused]), version("first", evaluation()), version("old"))
    assert "second beside before, on 38 users" in text
    assert "-0.5000 (-0.6250 to -0.3750)" in text
    assert "second: significantly worse than the one before" in text
    assert "second: Interactions are left out." in text
    assert "second: arn:campaign refused: too bad" in text
    assert "first: had no version to be compared with" in text
    assert "old: trained before evaluations were kept" in text


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("coverage", "coverage"),
        ("mean_reciprocal_rank_at_25", "MRR@25"),
        ("normalized_discounted_cumulative_gain_at_5", "NDCG@5, Personalize's"),
        ("standard_normalized_discounted_cumulative_gain_at_5", "NDCG@5, standard"),
        ("recall_at_25_of_tail_items", "recall@25 of tail items"),
        ("new_item_share", "new item share"),
    ],
)
def test_names_are_short_in_tables(name, short):
    assert metric_label(name) == short
