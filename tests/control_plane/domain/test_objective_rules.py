"""What a solution may optimise beside relevance."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput
from control_plane.domain.objectives import check_objective_column
from control_plane.domain.solutions import check_solution
from recipes.catalog import RECIPES
from tests.control_plane.world import avro, column

ITEMS = avro("Items", column("ITEM_ID"), column("PRICE", "float"), column("MINUTES", ["null", "int"]), column("TITLE"))


def objective(**members: str) -> dict[str, object]:
    return {"optimizationObjective": members}


@pytest.mark.parametrize("name", ["aws-user-personalization", "aws-personalized-ranking"])
def test_recipes_of_version_1_take_an_objective(name):
    config = objective(itemAttribute="PRICE", objectiveSensitivity="HIGH")
    check_solution(RECIPES[name], config, perform_hpo=False)


@pytest.mark.parametrize("name", ["aws-user-personalization-v2", "aws-hrnn", "aws-sims"])
def test_other_recipes_take_none(name):
    with pytest.raises(InvalidInput, match=f"`solutionConfig.optimizationObjective`.*{name} takes no objective"):
        check_solution(RECIPES[name], objective(itemAttribute="PRICE"), perform_hpo=False)


@pytest.mark.parametrize("members", [{}, {"itemAttribute": ""}, {"itemAttribute": "x" * 151}])
def test_an_objective_names_its_column(members):
    with pytest.raises(InvalidInput, match=r"itemAttribute`.*want a column of the items, 1 to 150 characters"):
        check_solution(RECIPES["aws-user-personalization"], objective(**members), perform_hpo=False)


def test_the_column_is_numeric_and_has_no_gaps():
    check_objective_column({"itemAttribute": "PRICE"}, items=ITEMS)
    for name, told in (("MINUTES", "has int or null"), ("TITLE", "has string"), ("YEAR", "has no such column")):
        with pytest.raises(InvalidInput, match=f"itemAttribute`: got '{name}', want a numeric column.* {told}"):
            check_objective_column({"itemAttribute": name}, items=ITEMS)
    with pytest.raises(InvalidInput, match="no such column"):
        check_objective_column({"itemAttribute": "PRICE"}, items=None)
