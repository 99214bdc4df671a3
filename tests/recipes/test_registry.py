"""What recipes declare is what their code does, and what the control plane tells users of them."""

from dataclasses import replace

import pytest
from annotated_types import Ge, Gt, Le, MultipleOf

from common.errors import InvalidInput, ResourceNotFound
from control_plane.domain.recipes import RECIPES as FACTS
from recipes.registry import RECIPES, fitter, recipe, scorer_loader

#: Those of custom solutions; the use cases of domains have no hyperparameters to offer.
TRAINABLE = {name: facts for name, facts in FACTS.items() if facts.domain is None}
CUSTOM = {name: declared for name, declared in RECIPES.items() if declared.domain is None}


def test_exactly_the_recipes_that_exist_can_be_trained():
    assert set(TRAINABLE) == set(CUSTOM)
    assert set(FACTS) == set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_types_and_domains_agree(name):
    assert FACTS[name].recipe_type == RECIPES[name].recipe_type
    assert FACTS[name].domain == RECIPES[name].domain
    assert FACTS[name].learns_from == RECIPES[name].learns_from


@pytest.mark.parametrize("name", CUSTOM)
def test_solutions_are_told_right_whether_events_are_counted(name):
    assert FACTS[name].counts_events == RECIPES[name].counts_events


def rules(name):
    """Return the rules of all parameters, wherever a solution gives them."""
    return {**(TRAINABLE[name].hyper_parameters or {}), **(TRAINABLE[name].feature_parameters or {})}


@pytest.mark.parametrize("name", CUSTOM)
def test_the_hyperparameters_agree(name):
    assert set(rules(name)) == set(RECIPES[name].config.model_fields)


@pytest.mark.parametrize("name", CUSTOM)
def test_the_parameters_of_the_feature_transformation_agree(name):
    assert set(TRAINABLE[name].feature_parameters or {}) == RECIPES[name].config.feature_transformation


def limits(field):
    found = {"low": None, "high": None, "above": False, "step": 1}
    for rule in field.metadata:
        match rule:
            case Ge(low):
                found |= {"low": low}
            case Gt(0) if field.annotation is int:  # whole numbers above 0 are those from 1
                found |= {"low": 1}
            case Gt(low):
                found |= {"low": low, "above": True}
            case Le(high):
                found |= {"high": high}
            case MultipleOf(step):
                found |= {"step": step}
    return found


PARAMETERS = [(name, key) for name in CUSTOM for key in RECIPES[name].config.model_fields]


@pytest.mark.parametrize(("name", "key"), PARAMETERS)
def test_the_ranges_agree(name, key):
    rule, field = rules(name)[key], RECIPES[name].config.model_fields[key]
    assert {part: getattr(rule, part) for part in ("low", "high", "above", "step")} == limits(field)


@pytest.mark.parametrize(("name", "key"), PARAMETERS)
@pytest.mark.parametrize("text", ["true", "maybe", "0", "1", "0.5", "8", "9", "-1", "1e9", "", "nan"])
def test_no_solution_is_accepted_that_training_refuses(name, key, text):
    if rules(name)[key].accepts(text):
        # What hangs on other values is the recipe's to say.
        assert refusal(name, key, text) == "" or "want a divisor" in refusal(name, key, text)


def refusal(name, key, text):
    try:
        RECIPES[name].config.from_hyperparameters({key: text})
    except InvalidInput as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", RECIPES)
def test_the_code_is_where_the_declaration_says(name):
    assert callable(fitter(RECIPES[name]))
    assert callable(scorer_loader(RECIPES[name]))


@pytest.mark.parametrize("version", ["", "-v2"])
def test_ranking_differs_from_personalization_in_name_type_and_exploration_alone(version):
    personalization = RECIPES[f"aws-user-personalization{version}"]
    ranking = RECIPES[f"aws-personalized-ranking{version}"]

    unlike = {key: getattr(personalization, key) for key in ("name", "recipe_type", "exploration")}
    assert replace(ranking, **unlike) == personalization
    assert (ranking.exploration, personalization.exploration) == ("none", "managed" if version else "configured")


def test_an_unknown_recipe_is_named_beside_those_that_exist():
    with pytest.raises(ResourceNotFound, match=r"`recipe`: got 'aws-miracle', want one of .*aws-hrnn, aws-hrnn-cold"):
        recipe("aws-miracle")
