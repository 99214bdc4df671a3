"""Solutions, versions and recipes on a real server."""

from __future__ import annotations

from google.protobuf import json_format

from common.errors import ResourceNotFound
from control_plane.domain.recipes import recipe_arn
from protos.tailorbird.control.v1 import (
    algorithm_pb2,
    common_pb2,
    dataset_group_pb2,
    feature_transformation_pb2,
    recipe_pb2,
    solution_config_pb2,
    solution_pb2,
    solution_version_pb2,
)
from protos.tailorbird.control.v1.solution_pb2 import CreateSolutionRequest
from protos.tailorbird.internal.v1 import jobs_pb2
from recipes.catalog import RECIPES
from tests.control_plane.messages import solution_config
from tests.control_plane.wire import refused, unique_name
from tests.control_plane.world import POPULARITY


def hpo_config(*, integer=(), continuous=(), categorical=(), **extra):
    ranges = {
        "integerHyperParameterRanges": list(integer),
        "continuousHyperParameterRanges": list(continuous),
        "categoricalHyperParameterRanges": list(categorical),
    }
    return {"hpoConfig": {"algorithmHyperParameterRanges": ranges, **extra}}


def number_range(name, low, high):
    return {"name": name, "minValue": low, "maxValue": high}


def tuned_solution(world) -> str:
    return world.resources.solutions.create(
        CreateSolutionRequest(
            name=world.name("solution"),
            dataset_group_arn=world.imported_group(),
            recipe_arn=recipe_arn(RECIPES["aws-hrnn-coldstart"]),
            perform_hpo=True,
            solution_config=solution_config(
                hpo_config(integer=[number_range("bptt", 8, 16)], hpoResourceConfig={"maxNumberOfTrainingJobs": "3"})
            ),
        )
    ).arn


def test_tuning_reaches_the_trainer_and_its_choice_is_shown(world, grpc_stub):
    solution = tuned_solution(world)
    solution_shown = grpc_stub.control.DescribeSolution(
        solution_pb2.DescribeSolutionRequest(solution_arn=solution)
    ).solution
    assert solution_shown.perform_hpo
    version = world.version(solution)
    describe = solution_version_pb2.DescribeSolutionVersionRequest(solution_version_arn=version)
    pending_version = grpc_stub.control.DescribeSolutionVersion(describe).solution_version
    assert pending_version.perform_hpo
    assert not pending_version.HasField("tuned_hpo_params")

    job = grpc_stub.jobs.LeaseJob(jobs_pb2.LeaseJobRequest(worker_id="trainer-1", wait_seconds=20)).job
    tuning = json_format.MessageToDict(job.solution_version_training.tuning)
    bptt = {"name": "bptt", "kind": "integer", "low": 8.0, "high": 16.0}
    assert tuning == {"trials": 3, "ranges": [bptt], "parallelTrials": 10}
    done = jobs_pb2.SolutionVersionTrainingResult(training_hours=0.25, tuned_hyper_parameters={"bptt": "12"})
    grpc_stub.jobs.CompleteJob(
        jobs_pb2.CompleteJobRequest(job_id=job.job_id, lease_token=job.lease_token, solution_version_training=done)
    )

    tuned_version = grpc_stub.control.DescribeSolutionVersion(describe).solution_version
    assert dict(tuned_version.tuned_hpo_params.algorithm_hyper_parameters) == {"bptt": "12"}


def test_an_update_is_not_tuned_again(world, grpc_stub):
    solution = tuned_solution(world)
    world.version(solution)
    world.finish_next({"training_hours": 0.1, "tuned_hyper_parameters": {"bptt": "12"}})

    world.resources.versions.create(solution, training_mode="UPDATE")

    job = grpc_stub.jobs.LeaseJob(jobs_pb2.LeaseJobRequest(worker_id="trainer-1", wait_seconds=20)).job
    assert job.solution_version_training.training_mode == "UPDATE"
    assert not job.solution_version_training.HasField("tuning")


def test_an_update_is_shown(grpc_stub, world):
    solution = world.solution(world.group())
    described = solution_pb2.DescribeSolutionRequest(solution_arn=solution)
    assert not grpc_stub.control.DescribeSolution(described).solution.HasField("latest_solution_update")
    changes = solution_pb2.SolutionUpdateConfig(
        auto_training_config=solution_config_pb2.AutoTrainingConfig(scheduling_expression="rate(2 days)")
    )

    answer = grpc_stub.control.UpdateSolution(
        solution_pb2.UpdateSolutionRequest(
            solution_arn=solution, perform_auto_training=True, solution_update_config=changes
        )
    )

    assert answer.solution_arn == solution
    shown = grpc_stub.control.DescribeSolution(described).solution
    assert shown.perform_auto_training
    assert shown.solution_config.auto_training_config == changes.auto_training_config
    latest = shown.latest_solution_update
    assert (latest.status, latest.perform_auto_training) == (common_pb2.RESOURCE_STATUS_ACTIVE, True)
    assert latest.solution_update_config == changes
    assert latest.HasField("creation_date_time")
    assert latest.HasField("last_updated_date_time")
    assert not latest.perform_incremental_update


def test_incremental_updates_are_shown_with_solutions_and_versions(grpc_stub, world):
    recipe = "arn:aws:personalize:::recipe/aws-semantic-similarity"
    described = solution_pb2.DescribeSolutionRequest(solution_arn=world.solution(world.group(), recipe))
    assert grpc_stub.control.DescribeSolution(described).solution.perform_incremental_update
    version = solution_version_pb2.DescribeSolutionVersionRequest(solution_version_arn=world.active_version())
    assert not grpc_stub.control.DescribeSolutionVersion(version).solution_version.perform_incremental_update


def test_auto_ml_reaches_the_trainer_and_its_choice_is_shown(grpc_stub, world):
    solution = world.solution(world.imported_group(), None, perform_auto_ml=True)
    version = world.version(solution)
    describe = solution_pb2.DescribeSolutionRequest(solution_arn=solution)
    before = grpc_stub.control.DescribeSolution(describe).solution
    assert before.perform_auto_ml
    assert not before.HasField("auto_ml_result")
    assert not before.HasField("recipe_arn")
    job = grpc_stub.jobs.LeaseJob(jobs_pb2.LeaseJobRequest(worker_id="trainer-1", wait_seconds=20)).job
    search = job.solution_version_training.recipe_search
    assert search.candidates[0].recipe == "aws-hrnn"
    assert not job.solution_version_training.HasField("recipe")
    done = jobs_pb2.SolutionVersionTrainingResult(training_hours=0.25, recipe="aws-hrnn")

    grpc_stub.jobs.CompleteJob(
        jobs_pb2.CompleteJobRequest(job_id=job.job_id, lease_token=job.lease_token, solution_version_training=done)
    )

    chosen = recipe_arn(RECIPES["aws-hrnn"])
    assert grpc_stub.control.DescribeSolution(describe).solution.auto_ml_result.best_recipe_arn == chosen
    shown = grpc_stub.control.DescribeSolutionVersion(
        solution_version_pb2.DescribeSolutionVersionRequest(solution_version_arn=version)
    ).solution_version
    assert (shown.recipe_arn, shown.perform_auto_ml) == (chosen, True)
    assert shown.training_type == common_pb2.TRAINING_TYPE_MANUAL


def test_parameters_of_both_kinds_are_shown_as_they_were_given(grpc_stub):
    group = grpc_stub.control.CreateDatasetGroup(
        dataset_group_pb2.CreateDatasetGroupRequest(name=unique_name("group"))
    ).dataset_group_arn
    config = solution_config_pb2.SolutionConfig(
        algorithm_hyper_parameters={"bptt": "16"},
        feature_transformation_parameters={"max_user_history_length_percentile": "0.9"},
    )
    solution = grpc_stub.control.CreateSolution(
        solution_pb2.CreateSolutionRequest(
            name=unique_name("solution"), dataset_group_arn=group, recipe_arn=recipe_arn(RECIPES["aws-hrnn"]),
            solution_config=config, perform_auto_training=False,
        )
    ).solution_arn  # fmt: skip

    described = grpc_stub.control.DescribeSolution(solution_pb2.DescribeSolutionRequest(solution_arn=solution)).solution

    assert described.solution_config == config


def test_recipes_that_can_be_trained_are_listed_and_described(grpc_stub):
    listed = grpc_stub.control.ListRecipes(recipe_pb2.ListRecipesRequest()).recipes
    first = grpc_stub.control.ListRecipes(recipe_pb2.ListRecipesRequest(max_results=1))
    second = grpc_stub.control.ListRecipes(recipe_pb2.ListRecipesRequest(next_token=first.next_token))
    described = grpc_stub.control.DescribeRecipe(recipe_pb2.DescribeRecipeRequest(recipe_arn=POPULARITY)).recipe

    names = [recipe.name for recipe in listed]
    assert sorted(names) == sorted(RECIPES)
    assert [recipe.creation_date_time.seconds for recipe in listed] == sorted(
        recipe.creation_date_time.seconds for recipe in listed
    )
    assert [*first.recipes, *second.recipes] == list(listed)
    assert not second.HasField("next_token")
    assert not listed[0].HasField("domain")
    assert described.feature_transformation_arn == "arn:aws:personalize:::feature-transformation/sims"
    assert described.recipe_type == "POPULAR_ITEMS"


def test_recipes_of_a_domain_are_listed_alone_and_described(grpc_stub):
    request = recipe_pb2.ListRecipesRequest(domain=common_pb2.DOMAIN_VIDEO_ON_DEMAND)

    listed = grpc_stub.control.ListRecipes(request).recipes

    assert [recipe.name for recipe in listed] == [
        "aws-vod-because-you-watched-x", "aws-vod-more-like-x", "aws-vod-most-popular", "aws-vod-top-picks",
        "aws-vod-trending-now",
    ]  # fmt: skip
    assert {recipe.domain for recipe in listed} == {common_pb2.DOMAIN_VIDEO_ON_DEMAND}
    described = grpc_stub.control.DescribeRecipe(recipe_pb2.DescribeRecipeRequest(recipe_arn=listed[0].recipe_arn))
    assert described.recipe.recipe_type == "RELATED_ITEMS"


def test_algorithms_and_feature_transformations_of_all_recipes_are_described(grpc_stub):
    for recipe in RECIPES.values():
        described = grpc_stub.control.DescribeRecipe(
            recipe_pb2.DescribeRecipeRequest(recipe_arn=recipe_arn(recipe))
        ).recipe
        request = algorithm_pb2.DescribeAlgorithmRequest(algorithm_arn=described.algorithm_arn)
        algorithm = grpc_stub.control.DescribeAlgorithm(request).algorithm
        assert algorithm.algorithm_arn == described.algorithm_arn
        for name, text in algorithm.default_hyper_parameters.items():
            assert recipe.hyper_parameters[name].accepts(text)
        if described.feature_transformation_arn:
            feature = grpc_stub.control.DescribeFeatureTransformation(
                feature_transformation_pb2.DescribeFeatureTransformationRequest(
                    feature_transformation_arn=described.feature_transformation_arn
                )
            ).feature_transformation
            assert feature.status == common_pb2.RESOURCE_STATUS_ACTIVE


def test_an_algorithm_shows_the_ranges_of_its_hyperparameters(grpc_stub):
    arn = "arn:aws:personalize:::algorithm/aws-hrnn"
    algorithm = grpc_stub.control.DescribeAlgorithm(algorithm_pb2.DescribeAlgorithmRequest(algorithm_arn=arn)).algorithm

    ranges = {item.name: item for item in algorithm.default_hyper_parameter_ranges.integer_hyper_parameter_ranges}
    assert (ranges["bptt"].min_value, ranges["bptt"].max_value, ranges["bptt"].is_tunable) == (2, 32, True)
    assert algorithm.default_hyper_parameters["hidden_dimension"] == "43"
    error = refused(
        grpc_stub.control.DescribeAlgorithm, algorithm_pb2.DescribeAlgorithmRequest(algorithm_arn=f"{arn}-2")
    )
    assert isinstance(error, ResourceNotFound)
