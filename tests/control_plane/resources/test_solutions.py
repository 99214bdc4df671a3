"""Solutions: what is not built yet is refused, and the newest version is shown."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput
from protos.tailorbird.control.v1.solution_pb2 import CreateSolutionRequest
from tests.control_plane.world import PERSONALIZATION


@pytest.mark.parametrize(
    "member", ["perform_auto_training", "perform_auto_ml", "perform_hpo", "perform_incremental_update"]
)
def test_solution_with_a_setting_that_is_not_built_is_refused(world, member):
    request = CreateSolutionRequest(
        name="films", dataset_group_arn=world.group(), recipe_arn=PERSONALIZATION, **{member: True}
    )

    with pytest.raises(InvalidInput, match="want false"):
        world.resources.solutions.create(request)


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        ("aws-semantic-similarity", "want false, and a new version for new items"),
        ("aws-user-personalization-v2", "want false: aws-user-personalization-v2 has no incremental updates"),
    ],
)
def test_incremental_updates_are_refused_by_what_the_recipe_has_in_personalize(world, recipe, reason):
    request = CreateSolutionRequest(
        name="films",
        dataset_group_arn=world.group(),
        recipe_arn=f"arn:aws:personalize:::recipe/{recipe}",
        perform_incremental_update=True,
    )

    with pytest.raises(InvalidInput, match=f"`performIncrementalUpdate`: got True, {reason}"):
        world.resources.solutions.create(request)


def test_solution_needs_a_recipe(world):
    with pytest.raises(InvalidInput, match="`recipeArn`"):
        world.resources.solutions.create(CreateSolutionRequest(name="films", dataset_group_arn=world.group()))


def test_solution_shows_its_newest_version(world):
    solution = world.solution(world.imported_group())
    assert world.resources.solutions.describe(solution)[1] is None
    world.version(solution)
    world.clock.advance(seconds=1)
    newest = world.version(solution)

    assert world.resources.solutions.describe(solution)[1].arn == newest
