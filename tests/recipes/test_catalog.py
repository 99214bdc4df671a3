"""What the catalog declares is what the recipes' code does, and the use cases of domains are Personalize's."""

import pkgutil
from dataclasses import replace
from typing import Literal, get_args, get_origin, get_type_hints

import pytest

from common.errors import InvalidInput, ResourceNotFound
from recipes.catalog import RECIPES, get_recipe
from recipes.ports import Fitter
from recipes.registry import config_class, make_fitter, read_config
from recipes.spec import RecipeKind

#: Those of custom solutions; the use cases of domains have no hyperparameters to offer.
CUSTOM = {name: spec for name, spec in RECIPES.items() if spec.domain is None}
#: Types of values as the API has them: whole numbers and texts are fields of these types, or optional.
TYPES = {"boolean": (bool,), "integer": (int,), "float": (float,), "text": (str,)}


def parameters(name):
    """Return all parameters of a recipe, wherever a solution gives them."""
    return {**RECIPES[name].hyper_parameters, **RECIPES[name].feature_parameters}


@pytest.mark.parametrize("name", CUSTOM)
def test_hyperparameters_are_the_fields_of_the_configuration(name):
    assert set(parameters(name)) == set(config_class(RECIPES[name]).model_fields)
    assert set(RECIPES[name].feature_parameters) == config_class(RECIPES[name]).feature_transformation


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_say_whether_their_scorers_encode_new_items(name):
    load = pkgutil.resolve_name(RECIPES[name].scorer)

    assert hasattr(get_type_hints(load)["return"], "new_item_encoder") == RECIPES[name].encodes_new_items


PARAMETERS = [(name, key) for name in CUSTOM for key in parameters(name)]


@pytest.mark.parametrize(("name", "key"), PARAMETERS)
def test_a_hyperparameter_is_of_the_type_and_has_the_default_that_the_catalog_names(name, key):
    parameter, field = parameters(name)[key], config_class(RECIPES[name]).model_fields[key]
    types = [item for item in get_args(field.annotation) or [field.annotation] if item is not type(None)]
    if get_origin(field.annotation) is Literal:
        assert (parameter.kind, get_args(field.annotation)) == ("text", parameter.choices)
    else:
        assert tuple(types) == TYPES[parameter.kind]
    assert getattr(read_config(RECIPES[name], {}), key) == parameter.default
    assert (parameter.default is None) == (type(None) in get_args(field.annotation))


@pytest.mark.parametrize(("name", "key"), PARAMETERS)
def test_the_default_is_a_value_that_solutions_may_give(name, key):
    default = parameters(name)[key].default
    text = str(default).lower() if isinstance(default, bool) else str(default)
    assert default is None or parameters(name)[key].accepts(text)


@pytest.mark.parametrize(("name", "key"), PARAMETERS)
@pytest.mark.parametrize("text", ["true", "maybe", "0", "1", "0.5", "8", "9", "-1", "1e9", "", "nan"])
def test_no_solution_is_accepted_that_training_refuses(name, key, text):
    if parameters(name)[key].accepts(text):
        # Whether a value fits the others is the recipe's to say.
        assert rejection(name, key, text) == "" or "want a divisor" in rejection(name, key, text)


def rejection(name, key, text):
    try:
        read_config(RECIPES[name], {key: text})
    except InvalidInput as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", RECIPES)
def test_the_code_is_where_the_declaration_says(name):
    fitter = make_fitter(RECIPES[name], read_config(RECIPES[name], {}), seed=0)

    assert all(callable(getattr(fitter, method)) for method in ("fit", "extend"))
    assert "report" in Fitter.__annotations__


@pytest.mark.parametrize("kind", RecipeKind)
def test_every_kind_is_that_of_a_recipe(kind):
    assert kind in {spec.kind for spec in RECIPES.values()}


@pytest.mark.parametrize("version", ["", "-v2"])
def test_ranking_is_learnt_as_personalization_is(version):
    personalization = RECIPES[f"aws-user-personalization{version}"]
    ranking = RECIPES[f"aws-personalized-ranking{version}"]

    told_apart = ("exploration", "solution_options", "feature_transformation", "returns_reasons")
    keys = ("name", "kind", "description", *told_apart)
    assert replace(ranking, **{key: getattr(personalization, key) for key in keys}) == personalization
    assert (ranking.exploration, personalization.exploration) == ("none", "managed" if version else "configured")


def test_an_unknown_recipe_is_named_beside_those_that_exist():
    with pytest.raises(ResourceNotFound, match=r"`recipe`: got 'aws-miracle', want one of .*aws-hrnn, aws-hrnn-cold"):
        get_recipe("aws-miracle")


#: Use case: domain, the recipe whose code it has, the event type, what must be there.
USE_CASES = {
    "aws-ecomm-popular-items-by-views": ("ECOMMERCE", "aws-popularity-count", "View", False),
    "aws-ecomm-popular-items-by-purchases": ("ECOMMERCE", "aws-popularity-count", "Purchase", False),
    "aws-ecomm-frequently-bought-together": ("ECOMMERCE", None, "Purchase", False),
    "aws-ecomm-customers-who-viewed-x-also-viewed": ("ECOMMERCE", None, "View", False),
    "aws-ecomm-recommended-for-you": ("ECOMMERCE", "aws-user-personalization-v2", None, False),
    "aws-vod-because-you-watched-x": ("VIDEO_ON_DEMAND", "aws-similar-items", "Watch", False),
    "aws-vod-more-like-x": ("VIDEO_ON_DEMAND", "aws-similar-items", None, True),
    "aws-vod-most-popular": ("VIDEO_ON_DEMAND", "aws-popularity-count", "Watch", False),
    "aws-vod-trending-now": ("VIDEO_ON_DEMAND", "aws-trending-now", None, False),
    "aws-vod-top-picks": ("VIDEO_ON_DEMAND", "aws-user-personalization-v2", None, False),
}


#: Use cases whose answers lack what the user has such events with.
LEFT_OUT = {
    "aws-ecomm-customers-who-viewed-x-also-viewed": "Purchase",
    "aws-ecomm-recommended-for-you": "Purchase",
    "aws-vod-because-you-watched-x": "Watch",
    "aws-vod-more-like-x": "Watch",
    "aws-vod-top-picks": "Watch",
}


def test_some_use_cases_leave_out_what_the_user_has():
    left_out = {name: spec.left_out_event_type for name, spec in RECIPES.items() if spec.left_out_event_type}

    assert left_out == LEFT_OUT
    assert all(RECIPES[name].names_user for name in LEFT_OUT)


def test_reasons_are_given_by_user_personalization_of_version_2_alone():
    explaining = {name for name, spec in RECIPES.items() if spec.returns_reasons}

    assert explaining == {"aws-user-personalization-v2"}


def test_there_are_ten_use_cases():
    assert {name for name, spec in RECIPES.items() if spec.domain is not None} == set(USE_CASES)


@pytest.mark.parametrize(
    ("name", "domain", "like", "event_type", "needs_items"), [(k, *v) for k, v in USE_CASES.items()]
)
def test_use_cases_are_declared_as_personalize_describes_them(name, domain, like, event_type, needs_items):
    spec = RECIPES[name]

    assert (spec.domain, spec.event_type) == (domain, event_type)
    assert spec.required_datasets == (("INTERACTIONS", "ITEMS") if needs_items else ("INTERACTIONS",))
    assert not spec.returns_scores
    assert not parameters(name)
    if like is not None:
        keys = ("kind", "config", "fitter", "scorer", "side_data", "max_history")
        assert all(getattr(spec, key) == getattr(RECIPES[like], key) for key in keys)
    assert spec.exploration == ("configured" if like == "aws-user-personalization-v2" else "none")
    assert spec.names_user == (name not in ("aws-ecomm-frequently-bought-together", "aws-vod-trending-now"))
