"""Any text is a filter or invalid input, and nothing else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import InvalidInput
from common.filters import Filter, parse_filter, parse_filter_values, parse_item_attributes
from tests.common.filters.conftest import SCHEMAS
from tests.common.filters.test_check import VALID

checked = settings(max_examples=200, deadline=None, derandomize=True)

#: Every code point, surrogates and NUL among them.
anything = st.text(st.characters(codec=None, exclude_categories=()), max_size=200)
pieces = st.sampled_from([
    "INCLUDE", "EXCLUDE", "ItemID", "ActionID", "UserID", "WHERE", "IF", "AND", "OR", "IN", "NOT IN", "NOT_IN", "NOT",
    "Items.YEAR", "Items.GENRES", "Items", ".", "Interactions.EVENT_TYPE", "CurrentUser.AGE", "CurrentItem.YEAR", "(",
    ")", ",", "|", "=", "!=", "<", ">=", "*", "$X", "$", '"a"', '"', "\\", "1", "-1e5", "1e999", " ", "\n", "\x00", "é",
])  # fmt: skip


@st.composite
def mutated(draw):
    """A filter in which a few places were cut out, doubled or replaced."""
    text = draw(st.sampled_from(VALID))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        text = text[:start] + draw(st.one_of(pieces, anything.map(lambda some: some[:3]), st.just(""))) + text[end:]
    return text


def check(text):
    try:
        definition = parse_filter(text, SCHEMAS)
    except InvalidInput as error:
        error.message.encode()
        return None
    assert isinstance(definition, Filter)
    return definition


@checked
@given(st.one_of(anything, st.lists(pieces, max_size=60).map(" ".join), st.lists(pieces, max_size=60).map("".join)))
def test_any_text_is_a_filter_or_invalid(text):
    check(text)


@checked
@given(mutated())
def test_altered_filters_are_filters_or_invalid(text):
    check(text)


@checked
@given(st.one_of(anything, st.lists(pieces, max_size=60).map(" ".join)))
def test_any_text_is_an_attribute_expression_or_invalid(text):
    try:
        attributes = parse_item_attributes(text)
    except InvalidInput as error:
        error.message.encode()
    else:
        assert attributes


@checked
@given(
    st.dictionaries(
        st.one_of(st.just("GENRE"), st.just("AGE"), anything), st.one_of(anything, st.lists(pieces).map("".join))
    )
)
def test_any_values_are_read_or_invalid(values):
    definition = parse_filter("EXCLUDE ItemID WHERE Items.GENRES IN ($GENRE) IF CurrentUser.AGE = $AGE", SCHEMAS)
    try:
        parsed = parse_filter_values(definition, values)
    except InvalidInput as error:
        error.message.encode()
    else:
        assert parsed.keys() == values.keys()


@pytest.mark.parametrize(
    "text",
    [
        "(" * 2500,
        ("INCLUDE ItemID WHERE " + "(" * 1240 + "Items.YEAR=1").ljust(2500, ")"),
        "INCLUDE ItemID WHERE Items.YEAR IN (" + "1," * 1200,
        "INCLUDE ItemID WHERE Items.GENRES IN (" + '"' * 2400,
        'INCLUDE ItemID WHERE Items.GENRES = "' + "\\" * 2400,
        "INCLUDE ItemID WHERE Items.YEAR = " + "9" * 2400,
        "INCLUDE ItemID WHERE Items.YEAR NOT" + " " * 2400,
        "|" * 2500,
        "\x00" * 2500,
        "\ud800" * 2500,
    ],
)
def test_what_is_repeated_to_the_limit_is_invalid(text):
    assert check(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "INCLUDE ItemID WHERE " + "(" * 1230 + "Items.YEAR=1" + ")" * 1230,
        # As deep as parentheses that mean something can be.
        "INCLUDE ItemID WHERE " + "(Items.YEAR=1AND(Items.YEAR=1OR " * 70 + "Items.YEAR=1" + "))" * 70,
        "INCLUDE ItemID WHERE Items.YEAR IN (1" + ",1" * 1200 + ")",
        "INCLUDE ItemID WHERE Items.YEAR=1" + " OR Items.YEAR=1" * 150,
        "INCLUDE ItemID WHERE Items.YEAR=1" + "|INCLUDE ItemID WHERE Items.YEAR=1" * 70,
    ],
)
def test_what_is_valid_may_be_repeated_to_the_limit(text):
    definition = check(text)
    assert definition is not None
    assert hash(definition.expressions) == hash(check(text).expressions)
