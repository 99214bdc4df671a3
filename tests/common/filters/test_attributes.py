import pytest

from common.errors import InvalidInput
from common.filters import parse_item_attributes


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        ('ITEMS.genres = "Comedy" AND ITEMS.genres = "Action"', [("genres", "Comedy"), ("genres", "Action")]),
        ('Items.YEAR=1995 and items . Brand_ = "a \\"b\\" \\\\ AND"', [("YEAR", 1995.0), ("Brand_", 'a "b" \\ AND')]),
        ("ITEMS.AND_X = -1.5e3", [("AND_X", -1500.0)]),
        ('ITEMS.items = "größe"', [("items", "größe")]),
        ('(ITEMS.a = "b") AND (ITEMS.c = ("d") AND ITEMS.e = 1)', [("a", "b"), ("c", "d"), ("e", 1)]),
    ],
)
def test_expressions_are_read(text, attributes):
    assert parse_item_attributes(text) == tuple(attributes)


@pytest.mark.parametrize(
    "text",
    [
        "", 'genres = "Comedy"', "ITEMS.genres = Comedy", 'ITEMS.genres != "Comedy"', 'ITEMS.a = "b" OR ITEMS.a = "c"',
        'ITEMS.a = "b" AND', 'ITEMS.a = "b', 'ITEMS.a = "\\q"', 'USERS.a = "b"', 'ITEMS.a IN ("b")', "ITEMS.a = $b",
        "ITEMS.a < 1", "ITEMS.a = CurrentItem.a", 'INCLUDE ItemID WHERE ITEMS.a = "b"', "ITEMS.a = *",
        'ITEMS.a = "b" AND (ITEMS.a = "b" OR ITEMS.a = "c")',
    ],
)  # fmt: skip
def test_what_is_no_expression_is_refused(text):
    with pytest.raises(InvalidInput, match=r"`itemAttributes`: got .*, want conditions as ITEMS.COLUMN"):
        parse_item_attributes(text)


def test_long_expressions_are_refused():
    with pytest.raises(InvalidInput, match="got '2501 characters', want at most 2500"):
        parse_item_attributes("ITEMS.a = 1".ljust(2501))
