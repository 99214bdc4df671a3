import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import FrozenBitMap

from common.filters import RequestContext, compile_filter, parse_filter, parse_filter_values
from common.filters.expression import Dataset
from common.filters.table import NumberColumn, Table, TextColumn
from tests.common.filters import oracle
from tests.common.filters.conftest import schema

FIELDS = {"T1": {"type": ["null", "string"], "categorical": True}, "T2": "string", "I": "long", "F": "float"}
SCHEMAS = {
    **{dataset: schema("Rows", **FIELDS) for dataset in (Dataset.ITEMS, Dataset.USERS, Dataset.ACTIONS)},
    **{
        dataset: schema("Events", EVENT_TYPE="string")
        for dataset in (Dataset.INTERACTIONS, Dataset.ACTION_INTERACTIONS)
    },
}


def table_of(rows):
    numbers = [row["I"] for row in rows]
    return Table(
        len(rows),
        {
            "T1": TextColumn.of_values([row["T1"] for row in rows]),
            "T2": TextColumn.of_values([row["T2"] for row in rows]),
            "I": NumberColumn.build(
                np.array([values[0] if values else 0 for values in numbers]),
                np.array([not values for values in numbers], bool),
            ),
            "F": NumberColumn.build(np.array([row["F"][0] if row["F"] else np.nan for row in rows], np.float32)),
        },
    )


def user_of(row):
    return {**row, "F": [np.float32(value) for value in row["F"]], "I": [np.int64(value) for value in row["I"]]}


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(st.integers(0, 2**63))
def test_rows_pass_as_a_look_at_each_of_them_tells(seed):
    drawn = oracle.Generator(seed)
    rows, events, user = drawn.rows(), drawn.events(), drawn.random.choice([None, drawn.row_values()])
    item = drawn.random.choice([None, *range(oracle.N_ROWS)])
    target, chain, values = drawn.filter()
    text = oracle.written(drawn.random, target, chain)
    definition = parse_filter(text, SCHEMAS)
    parameters = {name: oracle.literal(value) for name, value in values.items()}
    compiled = compile_filter(definition, table_of(rows), parse_filter_values(definition, parameters))
    context = RequestContext(
        events={event_type: FrozenBitMap(having) for event_type, having in events.items()},
        user=None if user is None else user_of(user),
        current_item=item,
    )
    expected = oracle.Oracle(values, table=rows, events=events, user=user, item=item).passing(chain)
    assert (text, list(compiled.rows(context))) == (text, expected)
    # One request leaves nothing behind for the next.
    assert list(compiled.rows(context)) == expected


ROWS = [
    {"T1": ["comedy", "drama"], "T2": ["x"], "I": [1990], "F": [oracle.rounded(9.99)]},
    {"T1": ["drama"], "T2": ["y"], "I": [2000], "F": [20.0]},
    {"T1": [], "T2": [], "I": [], "F": []},
    {"T1": ["Comedy"], "T2": ["a|b"], "I": [2010], "F": [5.0]},
]
EVENTS = {"Click": FrozenBitMap([0, 1]), "purchase": FrozenBitMap([1])}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        # Union of INCLUDE without the union of EXCLUDE.
        ('INCLUDE ItemID WHERE Items.T1 IN ("comedy") | INCLUDE ItemID WHERE Items.I = 2010', [0, 3]),
        ('EXCLUDE ItemID WHERE Items.T1 IN ("comedy") | EXCLUDE ItemID WHERE Items.I = 2010', [1, 2]),
        ('EXCLUDE ItemID WHERE Items.T2 = "x" | INCLUDE ItemID WHERE Items.T1 IN ("drama")', [1]),
        # Of several values one is enough; none may be for NOT IN.
        ('INCLUDE ItemID WHERE Items.T1 IN ("drama", "x")', [0, 1]),
        ('INCLUDE ItemID WHERE Items.T1 NOT IN ("drama")', [2, 3]),
        ('EXCLUDE ItemID WHERE Items.T1 NOT IN ("drama")', [0, 1]),
        ('INCLUDE ItemID WHERE Items.T1 = "comedy" AND Items.T1 = "drama"', [0]),
        # Text is compared with regard to case, `|` belongs to text that is not categorical.
        ('INCLUDE ItemID WHERE Items.T1 IN ("COMEDY")', []),
        ('INCLUDE ItemID WHERE Items.T2 = "a|b"', [3]),
        # Null.
        ("INCLUDE ItemID WHERE Items.I >= 0", [0, 1, 3]),
        ("INCLUDE ItemID WHERE Items.I < 0", []),
        ("INCLUDE ItemID WHERE Items.I != 1990", [1, 2, 3]),
        ("INCLUDE ItemID WHERE Items.F <= 9.99", [0, 3]),
        # Events.
        ('EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("CLICK")', [2, 3]),
        ('EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("Purchase", "view")', [0, 2, 3]),
        ('INCLUDE ItemID WHERE Interactions.EVENT_TYPE NOT IN ("purchase")', [0, 2, 3]),
        ('INCLUDE ItemID WHERE Interactions.EVENT_TYPE = "click" AND Interactions.EVENT_TYPE != "purchase"', [0]),
        ('EXCLUDE ItemID WHERE Interactions.EVENT_TYPE = "*"', [2, 3]),
        ("INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN (*)", [0, 1]),
        # The current item, here row 1.
        ("INCLUDE ItemID WHERE Items.F < CurrentItem.F AND Items.T1 IN CurrentItem.T1", [0]),
        ("EXCLUDE ItemID WHERE Items.T1 NOT IN CurrentItem.T1", [0, 1]),
        # The current user: 30 years old, of "gold" and "old".
        ('INCLUDE ItemID WHERE Items.I = 1990 IF CurrentUser.T1 = "gold"', [0]),
        ('INCLUDE ItemID WHERE Items.I = 1990 IF CurrentUser.T1 = "silver"', [0, 1, 2, 3]),
        ('INCLUDE ItemID WHERE Items.I = 1990 IF CurrentUser.T1 = "gold" AND CurrentUser.I < 30', [0, 1, 2, 3]),
        ('EXCLUDE ItemID WHERE Items.I = 1990 IF CurrentUser.T1 NOT IN ("silver") AND CurrentUser.I <= 30', [1, 2, 3]),
        ('EXCLUDE ItemID WHERE Items.I = 1990 IF CurrentUser.T2 != "x"', [1, 2, 3]),
        ("EXCLUDE ItemID WHERE Items.I = 1990 IF CurrentUser.F = 0.1", [1, 2, 3]),
        ('EXCLUDE ItemID WHERE Items.I = 1990 | INCLUDE ItemID WHERE Interactions.EVENT_TYPE = "*"', [1]),
    ],
)  # fmt: skip
def test_what_passes(text, rows):
    definition = parse_filter(text, SCHEMAS)
    context = RequestContext(EVENTS, user={"T1": ["gold", "old"], "I": [30], "F": [np.float32(0.1)]}, current_item=1)
    assert list(compile_filter(definition, table_of(ROWS), {}).rows(context)) == rows


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('EXCLUDE ItemID WHERE Interactions.EVENT_TYPE = "*"', [0, 1, 2, 3]),
        ('EXCLUDE ItemID WHERE Items.T2 = "x" IF CurrentUser.T1 NOT IN ("gold")', [0, 1, 2, 3]),
        ('INCLUDE ItemID WHERE Items.T2 = "x" IF CurrentUser.T1 = "gold"', [0, 1, 2, 3]),
        ("INCLUDE ItemID WHERE Items.F < CurrentItem.F", []),
        ("EXCLUDE ItemID WHERE Items.F < CurrentItem.F", [0, 1, 2, 3]),
    ],
)
def test_unknown_users_and_items(text, rows):
    definition = parse_filter(text, SCHEMAS)
    assert list(compile_filter(definition, table_of(ROWS), {}).rows(RequestContext())) == rows


def test_columns_that_the_table_lacks_are_null():
    definition = parse_filter('EXCLUDE ItemID WHERE Items.T1 = "x" OR Items.T2 NOT IN ("y")', SCHEMAS)
    assert list(compile_filter(definition, Table(2, {}), {}).rows(RequestContext())) == []


def test_an_exclude_without_the_value_of_a_parameter_is_left_out():
    text = 'EXCLUDE ItemID WHERE Items.T1 IN ($G) AND Items.I > 0 | EXCLUDE ItemID WHERE Items.T2 = "y"'
    definition = parse_filter(text, SCHEMAS)
    assert list(compile_filter(definition, table_of(ROWS), {}).rows(RequestContext())) == [0, 2, 3]
    values = parse_filter_values(definition, {"G": '"comedy","Comedy"'})
    assert list(compile_filter(definition, table_of(ROWS), values).rows(RequestContext())) == [2]


def test_filters_of_users_choose_by_what_users_did():
    definition = parse_filter('INCLUDE UserID WHERE Interactions.EVENT_TYPE NOT IN ("click")', SCHEMAS)
    assert list(compile_filter(definition, table_of(ROWS), {}).rows(RequestContext(EVENTS))) == [2, 3]


def test_an_empty_table_has_no_rows():
    definition = parse_filter('EXCLUDE ItemID WHERE Items.T1 = "a" OR Items.I < 3', SCHEMAS)
    assert list(compile_filter(definition, table_of([]), {}).rows(RequestContext())) == []
