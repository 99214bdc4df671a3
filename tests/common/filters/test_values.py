import pytest

from common.errors import InvalidInput
from common.filters import parse_filter, parse_filter_values


@pytest.fixture
def definition(schemas):
    return parse_filter(
        "INCLUDE ItemID WHERE Items.GENRES IN ($GENRES) AND Items.YEAR > $YEAR"
        "| EXCLUDE ItemID WHERE Items.Brand = $BRAND OR Items.PRICE IN ($PRICES)",
        schemas,
    )


REQUIRED = {"GENRES": '"a"', "YEAR": "1"}


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        ("GENRES", '"comedy","drama"', ("comedy", "drama")),
        ("GENRES", ' "größe" , "a,b" ', ("größe", "a,b")),
        ("GENRES", r'"12\" records"', ('12" records',)),
        ("YEAR", "1597352400", (1597352400,)),
        ("YEAR", "-1.5", (-1.5,)),
        ("PRICES", "1, 2.5,3", (1, 2.5, 3)),
        ("BRAND", '""', ("",)),
    ],
)
def test_values_are_quoted_texts_and_bare_numbers(definition, name, text, values):
    assert parse_filter_values(definition, {**REQUIRED, name: text})[name] == values


def test_parameters_of_exclude_may_be_missing(definition):
    assert parse_filter_values(definition, REQUIRED) == {"GENRES": ("a",), "YEAR": (1,)}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("GENRES", "comedy", "`filterValues.GENRES`: got 'comedy', want texts in double quotes, separated by commas"),
        ("GENRES", "", "`filterValues.GENRES`: got '', want texts"),
        ("GENRES", '"a" "b"', "want texts in double quotes"),
        ("GENRES", '"a",', "want texts in double quotes"),
        ("GENRES", '("a")', "want texts in double quotes"),
        ("GENRES", '"a",3', "want texts in double quotes"),
        ("GENRES", "$YEAR", "want texts in double quotes"),
        ("GENRES", "*", "want texts in double quotes"),
        ("BRAND", '"a","b"', "`filterValues.BRAND`: got .*, want one text in double quotes"),
        ("YEAR", '"1970"', "`filterValues.YEAR`: got '\"1970\"', want one number"),
        ("YEAR", "1,2", "want one number"),
        ("YEAR", "nan", "want one number"),
        ("YEAR", "1e400", "want one number"),
        ("PRICES", '"a"', "want numbers, separated by commas"),
        ("year", "1", "`filterValues.year`: got '1', want only the filter's parameters, which are: GENRES"),
        ("GENRES", f'"{"x" * 999}"', "`filterValues.GENRES`: got '1001 characters', want at most 1000"),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_are_refused_by_name(definition, name, text, message):
    with pytest.raises(InvalidInput, match=message):
        parse_filter_values(definition, {**REQUIRED, name: text})


@pytest.mark.parametrize("name", ["GENRES", "YEAR"])
def test_parameters_of_include_are_required(definition, name):
    with pytest.raises(InvalidInput, match=f"`filterValues.{name}`: got None, want"):
        parse_filter_values(definition, {key: text for key, text in REQUIRED.items() if key != name})


def test_a_request_passes_25_values_at_most(schemas):
    names = [f"P{number}" for number in range(25)]
    text = "INCLUDE ItemID WHERE Items.YEAR IN (" + ",".join(f"${name}" for name in names) + ")"
    definition = parse_filter(text, schemas)
    assert len(parse_filter_values(definition, dict.fromkeys(names, "1"))) == 25
    with pytest.raises(InvalidInput, match="`filterValues`: got '26 entries', want at most 25"):
        parse_filter_values(definition, dict.fromkeys([*names, "Q"], "1"))


def test_a_filter_without_parameters_takes_no_values(schemas):
    definition = parse_filter("INCLUDE ItemID WHERE Items.YEAR = 1", schemas)
    assert parse_filter_values(definition, {}) == {}
    with pytest.raises(InvalidInput, match="want only the filter's parameters, which are: none"):
        parse_filter_values(definition, {"YEAR": "1"})
