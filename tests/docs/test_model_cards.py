"""Model cards name the hyperparameters that there are, with their ranges, defaults and meanings."""

import re
from pathlib import Path

import pytest

from recipes.catalog import RECIPES

CARDS = Path(__file__).resolve().parents[2] / "docs" / "recipes"
WITH_TABLE = [
    "aws-hrnn", "aws-hrnn-coldstart", "aws-item-affinity", "aws-item-attribute-affinity", "aws-next-best-action",
    "aws-trending-now", "aws-user-personalization", "aws-user-personalization-v2", "tailorbird-ials",
]  # fmt: skip


def rows(name):
    """Return the table that the recipe's declarations come to."""
    for key, parameter in {**RECIPES[name].hyper_parameters, **RECIPES[name].feature_parameters}.items():
        default = "none" if parameter.default is None else f"`{_shown(parameter.default)}`"
        yield f"| `{key}` | {default} | {parameter.want} | {parameter.description} |"


def _shown(default):
    return str(default).lower() if isinstance(default, bool) else str(default)


@pytest.mark.parametrize("name", WITH_TABLE)
def test_card_and_code_agree_on_the_hyperparameters(name):
    card = (CARDS / f"{name}.md").read_text()

    assert re.findall(r"^\| `.*\|$", card, re.MULTILINE) == list(rows(name))


def test_cards_are_of_recipes_that_exist():
    assert {path.stem for path in CARDS.glob("*.md")} - {"README"} <= set(RECIPES)


def test_the_index_names_every_recipe():
    index = (CARDS / "README.md").read_text()
    assert set(re.findall(r"^\| `(\S+)`", index, re.MULTILINE)) == set(RECIPES)


def test_the_page_on_tuning_lists_what_is_tuned():
    expected = {}
    for name, spec in RECIPES.items():
        for key, rule in spec.tunable_parameters.items():
            expected.setdefault((key, rule.want), []).append(f"`{name}`")
    page = (CARDS.parent / "tuning.md").read_text()

    rows = re.findall(r"^\| `(.*)` \| (.*) \| (.*) \|$", page, re.MULTILINE)
    assert {(key, want): recipes.split(", ") for key, want, recipes in rows} == expected


def test_cards_and_the_page_on_recommenders_say_what_recipes_leave_out_by_themselves():
    page = (CARDS.parent / "recommenders.md").read_text()
    for name, spec in RECIPES.items():
        card = CARDS / f"{name}.md"
        expected = spec.left_out_event_type is not None
        assert ("recommenders.md#automatic-filters" in (card.read_text() if card.is_file() else "")) is expected, name
        assert (f"`{name}`" in page.partition("### Automatic filters")[2]) is expected, name
        if expected:
            assert f"`{spec.left_out_event_type}` events with is [left out by itself]" in card.read_text(), name
