"""The examples of the page on filters are accepted and let pass what the page says."""

import re
from pathlib import Path

import numpy as np
import pytest

from common.filters import (
    Dataset,
    NumberColumn,
    RequestContext,
    Table,
    TextColumn,
    compile_filter,
    parse_filter,
    parse_item_attributes,
    rows_of,
)
from tests.common.filters.conftest import schema

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "filters.md").read_text()
SCHEMAS = {
    Dataset.ITEMS: schema(
        "Items",
        ITEM_ID="string",
        GENRES={"type": "string", "categorical": True},
        BRAND="string",
        YEAR="int",
        PRICE="float",
    ),
    Dataset.USERS: schema("Users", USER_ID="string", AGE="int", MEMBERSHIP="string"),
    Dataset.INTERACTIONS: schema("Interactions", EVENT_TYPE="string"),
    Dataset.ACTIONS: schema("Actions", ACTION_ID="string", VALUE="long"),
    Dataset.ACTION_INTERACTIONS: schema("ActionInteractions", EVENT_TYPE="string"),
}
ITEMS = [
    [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in re.findall(r"^\| [a-d] \|.*$", PAGE, re.MULTILINE)
]
EXAMPLES = re.findall(r"^\| `((?:INCLUDE|EXCLUDE) .*)` \| (.*) \|$", PAGE, re.MULTILINE)


def numbers(place, dtype):
    cells = [row[place] for row in ITEMS]
    values = np.array([float(cell or 0) for cell in cells]).astype(dtype)
    return NumberColumn.build(values, np.array([not cell for cell in cells]))


def table():
    genres = TextColumn.of_values([row[1].split("|") if row[1] else [] for row in ITEMS])
    brands = TextColumn.of_values([[row[2]] if row[2] else [] for row in ITEMS])
    years, prices = numbers(3, np.int32), numbers(4, np.float32)
    return Table(len(ITEMS), {"GENRES": genres, "BRAND": brands, "YEAR": years, "PRICE": prices})


@pytest.mark.parametrize(("cell", "passing"), EXAMPLES)
def test_examples_let_pass_what_the_page_says(cell, passing):
    definition = parse_filter(cell.replace(r"\|", "|"), SCHEMAS)
    events = {"click": rows_of(np.array([0, 1])), "purchase": rows_of(np.array([1]))}
    context = RequestContext(events, user={"AGE": [30]}, current_item=1)
    rows = compile_filter(definition, table(), {}).rows(context)
    assert ", ".join(ITEMS[row][0] for row in rows) == passing


def test_the_page_has_its_examples():
    assert len(ITEMS) == 4
    assert len(EXAMPLES) == 15


@pytest.mark.parametrize("text", re.search(r"```text\n(.*?)```", PAGE, re.DOTALL)[1].splitlines())
def test_examples_of_actions_and_users_are_accepted(text):
    assert parse_filter(text, SCHEMAS).text == text


def test_the_example_of_attributes_is_accepted():
    (text,) = re.findall(r"`(ITEMS\..*)`", PAGE)
    assert parse_item_attributes(text) == (("genres", "Comedy"), ("year", 1995))
