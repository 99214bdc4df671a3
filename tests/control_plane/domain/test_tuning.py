"""Tuning of hyperparameters: what may be asked for, what trainers are told, and what callers see of it."""

from __future__ import annotations

import pytest
from google.protobuf import json_format

from common.errors import InvalidInput
from control_plane.domain.recipes import recipe_arn
from control_plane.domain.tuning import Tuning, TuningRange, check_tuning
from control_plane.resources.solutions import SolutionRequest
from protos.tailorbird.control.v1 import solution_pb2, solution_version_pb2
from protos.tailorbird.internal.v1 import jobs_pb2
from recipes.catalog import RECIPES
from recipes.registry import read_config
from tests.control_plane import wire
from tests.control_plane.world import make_world

HRNN, SIMS, V2 = RECIPES["aws-hrnn"], RECIPES["aws-sims"], RECIPES["aws-user-personalization-v2"]
TUNABLE = [name for name, facts in RECIPES.items() if facts.tunable_parameters]
WHOLE = {
    "hidden_dimension": TuningRange("hidden_dimension", "integer", 32.0, 256.0),
    "bptt": TuningRange("bptt", "integer", 2.0, 32.0),
    "recency_mask": TuningRange("recency_mask", "choice", values=("true", "false")),
}


def asked(*, integer=(), continuous=(), categorical=(), **more):
    ranges = {
        "integerHyperParameterRanges": list(integer),
        "continuousHyperParameterRanges": list(continuous),
        "categoricalHyperParameterRanges": list(categorical),
    }
    return {"hpoConfig": {"algorithmHyperParameterRanges": ranges, **more}}


def between(name, low, high):
    return {"name": name, "minValue": low, "maxValue": high}


def test_without_ranges_all_is_searched_that_the_solution_does_not_set():
    assert check_tuning(HRNN, {}, perform_hpo=True) == Tuning(10, tuple(WHOLE.values()))
    fixed = {"algorithmHyperParameters": {"bptt": "16"}}
    assert check_tuning(HRNN, fixed, perform_hpo=True).ranges == (WHOLE["hidden_dimension"], WHOLE["recency_mask"])
    assert check_tuning(HRNN, fixed, perform_hpo=False) is None


def test_only_the_given_ranges_are_searched_whatever_prefix_their_names_have():
    config = asked(
        integer=[between("training.bptt", 8, 16)],
        categorical=[{"name": "data.recency_mask", "values": ["True"]}],
        hpoResourceConfig={"maxNumberOfTrainingJobs": "40", "maxParallelTrainingJobs": "10"},
    )

    found = check_tuning(HRNN, config, perform_hpo=True)

    bptt = TuningRange("bptt", "integer", 8.0, 16.0)
    assert found == Tuning(40, (bptt, TuningRange("recency_mask", "choice", values=("True",))))


@pytest.mark.parametrize("number", [101, 200_000])
def test_ranges_and_values_are_counted_before_they_are_compared(number):
    ranges = asked(integer=[between("bptt", 8, 16)] * number)
    values = asked(categorical=[{"name": "recency_mask", "values": ["True"] * number}])

    with pytest.raises(InvalidInput, match=f"integerHyperParameterRanges`: got '{number} ranges', want at most 100"):
        check_tuning(HRNN, ranges, perform_hpo=True)
    with pytest.raises(InvalidInput, match=f"values`: got '{number} values', want at most 100"):
        check_tuning(HRNN, values, perform_hpo=True)


def test_an_open_end_of_a_range_is_the_recipe_s():
    config = asked(continuous=[{"name": "popularity_discount_factor", "minValue": 0.25}])

    (found,) = check_tuning(SIMS, config, perform_hpo=True).ranges

    assert (found.kind, found.low, found.high) == ("float", 0.25, 1.0)


BPTT = between("bptt", 2, 32)


@pytest.mark.parametrize(
    ("recipe", "config", "told"),
    [
        (V2, {}, "`performHPO`: got True, want false: aws-user-personalization-v2 has no hyperparameter to tune"),
        (HRNN, asked(integer=[between("epochs", 1, 2)]), r"Ranges\[0\]\.name`: got 'epochs', want one of hidden_dim"),
        (HRNN, asked(continuous=[BPTT]), r"continuousHyperParameterRanges\[0\]\.name`: got 'bptt', want none"),
        (HRNN, asked(integer=[between("bptt", 2, 33)]), r"\.maxValue`: got '33', want an integer from 2 to 32"),
        (HRNN, asked(integer=[between("bptt", 9, 8)]), "got minValue 9 above maxValue 8"),
        (HRNN, asked(integer=[BPTT, BPTT]), "bptt`: got 'more than one range'"),
        (
            HRNN,
            {**asked(integer=[BPTT]), "algorithmHyperParameters": {"bptt": "8"}},
            "bptt`: got 'a range and a",
        ),
        (
            HRNN,
            asked(categorical=[{"name": "recency_mask", "values": []}]),
            r"\.values`: got 'none', want true or",
        ),
        (HRNN, asked(categorical=[{"name": "recency_mask", "values": ["no"]}]), r"\.values`: got 'no'"),
        (HRNN, asked(hpoResourceConfig={"maxNumberOfTrainingJobs": "41"}), "got '41', want an integer from 1 to 40"),
        (HRNN, asked(hpoResourceConfig={"maxParallelTrainingJobs": "0"}), "got '0', want an integer from 1 to 10"),
        (HRNN, asked(hpoObjective={"type": "Maximize"}), "hpoObjective`"),
        (
            HRNN,
            {"algorithmHyperParameters": {"bptt": "8", "hidden_dimension": "64", "recency_mask": "true"}},
            "sets all that could be tuned",
        ),
    ],
)
def test_what_cannot_be_searched_is_refused_by_name(recipe, config, told):
    with pytest.raises(InvalidInput, match=told):
        check_tuning(recipe, config, perform_hpo=True)


def test_a_configuration_that_would_be_ignored_is_refused():
    with pytest.raises(InvalidInput, match=r"hpoConfig`: got 'a configuration', want none, or performHPO"):
        check_tuning(HRNN, {"hpoConfig": {}}, perform_hpo=False)


@pytest.mark.parametrize("name", TUNABLE)
def test_the_ends_of_every_range_are_values_that_the_recipe_takes(name):
    for item in check_tuning(RECIPES[name], {}, perform_hpo=True).ranges:
        ends = item.values or tuple(f"{end:g}" for end in (item.low, item.high))
        for value in ends:
            read_config(RECIPES[name], {item.name: value})


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = make_world(tmp_path_factory.mktemp("wire"))
    yield made
    made.plane.long_polls.close()
    made.metadata_store.close()


@pytest.fixture(scope="module")
def grpc_servicer(world):
    return world.plane


@pytest.fixture(scope="module")
def grpc_stub_cls():
    return wire.stubs


def tuned_solution(world) -> str:
    return world.resources.solutions.create(
        SolutionRequest(
            name=world.name("solution"),
            dataset_group_arn=world.imported_group(),
            recipe_arn=recipe_arn(RECIPES["aws-hrnn-coldstart"]),
            perform_hpo=True,
            solution_config=asked(integer=[between("bptt", 8, 16)], hpoResourceConfig={"maxNumberOfTrainingJobs": "3"}),
        )
    ).arn


def test_trainers_are_told_and_what_they_chose_is_shown(world, grpc_stub):
    solution = tuned_solution(world)
    shown = grpc_stub.control.DescribeSolution(solution_pb2.DescribeSolutionRequest(solution_arn=solution)).solution
    assert shown.perform_hpo
    version = world.version(solution)
    describe = solution_version_pb2.DescribeSolutionVersionRequest(solution_version_arn=version)
    waiting = grpc_stub.control.DescribeSolutionVersion(describe).solution_version
    assert waiting.perform_hpo
    assert not waiting.HasField("tuned_hpo_params")

    job = grpc_stub.jobs.LeaseJob(jobs_pb2.LeaseJobRequest(worker_id="trainer-1", wait_seconds=20)).job
    told = json_format.MessageToDict(job.solution_version_training.tuning)
    assert told == {"trials": 3, "ranges": [{"name": "bptt", "kind": "integer", "low": 8.0, "high": 16.0}]}
    done = jobs_pb2.SolutionVersionTrainingResult(training_hours=0.25, tuned_hyper_parameters={"bptt": "12"})
    grpc_stub.jobs.CompleteJob(
        jobs_pb2.CompleteJobRequest(job_id=job.job_id, lease_token=job.lease_token, solution_version_training=done)
    )

    found = grpc_stub.control.DescribeSolutionVersion(describe).solution_version
    assert dict(found.tuned_hpo_params.algorithm_hyper_parameters) == {"bptt": "12"}


def test_an_update_is_not_tuned_anew(world, grpc_stub):
    solution = tuned_solution(world)
    world.version(solution)
    world.finish_next({"training_hours": 0.1, "tuned_hyper_parameters": {"bptt": "12"}})

    world.resources.versions.create(solution, training_mode="UPDATE")

    job = grpc_stub.jobs.LeaseJob(jobs_pb2.LeaseJobRequest(worker_id="trainer-1", wait_seconds=20)).job
    assert job.solution_version_training.training_mode == "UPDATE"
    assert not job.solution_version_training.HasField("tuning")
