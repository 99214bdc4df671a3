"""`tailorbird deletions` against a real control plane; with a trainer and a runtime it runs in tests/system."""

from __future__ import annotations

import json
from contextlib import ExitStack

import pytest

from cli.app import Env, app, run
from cli.installation import Installation, Running
from common.auth import TokenIssuer, TokenVerifier
from common.testing import Keys, serving
from tests.control_plane.world import ACCOUNT, make_world


@pytest.fixture
def world(tmp_path):
    made = make_world(tmp_path)
    yield made
    made.plane.long_polls.close()
    made.metadata_store.close()


@pytest.fixture
def tailorbird(world, tmp_path, capsys):
    """Serve the control plane as `tailorbird up` would, and call commands on it."""
    installation = Installation(tmp_path / "data")
    installation.prepare()
    private, public = installation.keys.private_key.read_bytes(), installation.keys.public_key.read_bytes()
    keys = Keys(TokenIssuer(private), TokenVerifier(public), private, public)
    with ExitStack() as stack:
        running = stack.enter_context(serving(world.plane.services, keys=keys))
        endpoint = f"http://127.0.0.1:{running.server.port - 1}"
        stack.enter_context(installation.lock(Running(process_id=1, endpoint=endpoint)))

        def call(*arguments):
            code = run(app, Env(environ={}), ["deletions", *arguments, "--data-dir", str(installation.root)])
            return code, capsys.readouterr()

        yield call


def delete_users(world, group):
    return world.resources.deletions.create(
        world.name("leavers"),
        dataset_group_arn=group,
        role_arn=f"arn:aws:iam::{ACCOUNT}:role/Personalize",
        data_location="s3://lake/users.csv",
    ).arn


def test_deletions_are_listed_of_all_groups_or_of_one(world, tailorbird):
    groups = [world.group(), world.group()]
    for group in groups:
        world.dataset(group)
    jobs = [delete_users(world, group) for group in groups]
    name = groups[0].rpartition("/")[2]

    everything, one = tailorbird("list", "--json"), tailorbird("list", "--dataset-group", name, "--json")

    assert [code for code, _ in (everything, one)] == [0, 0]
    assert {item["data_deletion_job_arn"] for item in json.loads(everything[1].out)} == set(jobs)
    assert [item["data_deletion_job_arn"] for item in json.loads(one[1].out)] == [jobs[0]]
    assert "PENDING" in tailorbird("list")[1].out


def test_without_a_trainer_nothing_is_proven(world, tailorbird):
    group = world.group()

    code, shown = tailorbird("show", "somebody", "--dataset-group", group, "--wait", "1")

    assert code == 1
    assert "is a trainer running?" in shown.err


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ((), "a dataset group, or a deletion"),
        (("--dataset-group", "unknown"), "the ARN or the name of a dataset group"),
    ],
)
def test_whose_users_has_to_be_said(tailorbird, options, problem):
    code, shown = tailorbird("show", "somebody", *options)

    assert code == 1
    assert problem in shown.err
