import pytest

from common.errors import InvalidInput
from common.filters import Dataset, Field, Parameter, Target, parse_filter
from common.filters.expression import AllOf, Condition, Constant, CurrentItem, Operator

#: What AWS's guide and samples show, as section 8.6 of our notes on Personalize lists them, and more of each kind.
VALID = [
    'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("click", "stream")',
    'EXCLUDE itemId WHERE INTERACTIONS.event_type in ("*")',
    "EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN (*)",
    "EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ($TYPES)",
    "INCLUDE ItemID WHERE Items.YEAR >= 1970 AND Items.YEAR < 1980",
    "INCLUDE ItemID WHERE Items.CREATION_TIMESTAMP > $DATE",
    "INCLUDE ItemID WHERE Items.PRICE < CurrentItem.PRICE AND Items.GENRES IN CurrentItem.GENRES",
    "EXCLUDE ItemID WHERE Items.GENRES IN ($GENRE) IF CurrentUser.AGE = $AGE",
    'INCLUDE ItemID WHERE Items.GENRES IN ($GENRE) | EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("click")',
    "INCLUDE ActionID WHERE Actions.VALUE > ($VALUE)",
    'EXCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE IN ("NOT_TAKEN")',
    "INCLUDE UserID WHERE Users.MEMBERSHIP IN ($MEMBERSHIP)",
    'exclude UserId where users.membership in ("gold") | INCLUDE USERID WHERE INTERACTIONS.EVENT_TYPE NOT IN ("buy")',
    "INCLUDE ItemID WHERE Items.GENRES = $G IF CurrentUser.MEMBERSHIP = $PREMIUM AND CurrentUser.AGE NOT IN (1, 2)",
    'INCLUDE ItemID WHERE Items.ITEM_ID NOT IN ("a")',
    'INCLUDE ItemID WHERE items.in = "x"',
]  # fmt: skip


@pytest.mark.parametrize("text", VALID)
def test_expressions_of_the_guide_are_accepted(text, schemas):
    definition = parse_filter(text, schemas)
    assert definition.text == text
    assert definition.fields


def test_names_become_those_of_the_schema(schemas):
    definition = parse_filter("include itemid where items.price < currentitem.pRICE and items.BRAND = 1e0", schemas | {
        Dataset.ITEMS: schemas[Dataset.ITEMS].parse(
            '{"type": "record", "name": "Items", "fields": ['
            '{"name": "Price", "type": "float"}, {"name": "Brand", "type": "int"}]}'
        )
    })  # fmt: skip
    price, brand = Field(Dataset.ITEMS, "Price"), Field(Dataset.ITEMS, "Brand")
    assert definition.expressions[0].where == AllOf((
        Condition(price, Operator.LESS, (CurrentItem("Price"),)), Condition(brand, Operator.EQUAL, (Constant(1.0),)),
    ))  # fmt: skip
    assert definition.fields == {price, brand}


def test_a_filter_tells_what_requests_must_bring(schemas):
    definition = parse_filter(
        "EXCLUDE ItemID WHERE Items.YEAR < $YEAR AND Items.GENRES IN ($GENRES)"
        "| INCLUDE ItemID WHERE Items.GENRES IN ($genres, $BRAND) IF CurrentUser.AGE != $YEAR"
        "| EXCLUDE ItemID WHERE Items.Brand = $BRAND",
        schemas,
    )
    assert definition.parameters == {
        "YEAR": Parameter("YEAR", "number", is_single=True, is_required=True),
        "GENRES": Parameter("GENRES", "text", is_single=False, is_required=False),
        "genres": Parameter("genres", "text", is_single=False, is_required=True),
        "BRAND": Parameter("BRAND", "text", is_single=True, is_required=True),
    }
    assert definition.target is Target.ITEM
    assert definition.fields == {
        Field(Dataset.ITEMS, "YEAR"),
        Field(Dataset.ITEMS, "GENRES"),
        Field(Dataset.ITEMS, "Brand"),
        Field(Dataset.USERS, "AGE"),
    }


@pytest.mark.parametrize(
    ("text", "needs_user", "needs_item"),
    [
        ("INCLUDE ItemID WHERE Items.YEAR = 1", False, False),
        ('EXCLUDE ItemID WHERE Interactions.EVENT_TYPE = "*"', True, False),
        ('EXCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE = "Taken"', True, False),
        ("EXCLUDE ItemID WHERE Items.YEAR = 1 IF CurrentUser.AGE = 1", True, False),
        ("EXCLUDE ItemID WHERE Items.YEAR = CurrentItem.YEAR", False, True),
        ('EXCLUDE UserID WHERE Interactions.EVENT_TYPE = "*"', False, False),
    ],
)
def test_a_filter_tells_whether_it_needs_the_user_or_the_item(text, needs_user, needs_item, schemas):
    definition = parse_filter(text, schemas)
    assert (definition.needs_user, definition.needs_item) == (needs_user, needs_item)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # One dataset in an expression, and one that fits the target.
        ('INCLUDE ItemID WHERE Items.YEAR = 1 OR Interactions.EVENT_TYPE = "a"',
         "got 'Interactions.EVENT_TYPE' at line 1, column 40, want a field of Items as in the first condition"),
        ("INCLUDE ItemID WHERE Actions.VALUE = 1",
         "got 'Actions.VALUE' at line 1, column 22, want for ItemID a field of Items or Interactions"),
        ('INCLUDE ItemID WHERE Users.MEMBERSHIP = "a"', "want for ItemID a field of Items or Interactions"),
        ('INCLUDE ItemID WHERE Action_Interactions.EVENT_TYPE = "a"', "want for ItemID a field of Items or"),
        ("INCLUDE ActionID WHERE Items.YEAR = 1", "want for ActionID a field of Actions or Action_Interactions"),
        ('INCLUDE ActionID WHERE Interactions.EVENT_TYPE = "a"', "want for ActionID a field of Actions or"),
        ("INCLUDE UserID WHERE Items.YEAR = 1", "want for UserID a field of Users or Interactions"),
        ("INCLUDE ItemID WHERE Items.YEAR = 1 | EXCLUDE UserID WHERE Users.AGE = 1",
         "got 'UserID' at line 1, column 39, want ItemID, as in the first expression"),
        # Fields.
        ('INCLUDE ItemID WHERE Interactions.DEVICE = "a"',
         r"want Interactions.EVENT_TYPE, the only field of it that filters read"),
        ('INCLUDE ActionID WHERE Action_Interactions.ACTION_ID = "a"', "want Action_Interactions.EVENT_TYPE, the only"),
        ('INCLUDE ItemID WHERE Items.PLOT = "a"',
         "Could not create filter. Invalid Expression: .*got 'Items.PLOT' .*want a field that is not textual"),
        ('INCLUDE ItemID WHERE Items.ADULT = "True"',
         "Could not create filter. Invalid Expression: .*got 'Items.ADULT' .*want a field that is not boolean"),
        ("INCLUDE ItemID WHERE\n Items.GENRE = 1",
         "got 'Items.GENRE' at line 2, column 2, want a field that the schema of Items has: ITEM_ID, GENRES, Brand, "),
        ("EXCLUDE ItemID WHERE Items.YEAR = 1 IF CurrentUser.NAME = 1", "got 'Users.NAME' .*the schema of Users has"),
        ("EXCLUDE ItemID WHERE Items.YEAR = CurrentItem.X", "got 'Items.X' .*want a field that the schema of Items"),
        ("INCLUDE ActionID WHERE Actions.REPEAT_FREQUENCY = 1", "want another field; actions that expired"),
        # Types.
        ('INCLUDE ItemID WHERE Items.YEAR = "1970"', "got '1970' at line 1, column 35, want a number value, which"),
        ("INCLUDE ItemID WHERE Items.GENRES IN (1)", "want a text value, which Items.GENRES has"),
        ('INCLUDE ItemID WHERE Items.GENRES > "a"', "got 'Items.GENRES >' .*want a numeric field for an order"),
        ("INCLUDE ItemID WHERE Items.YEAR IN CurrentItem.GENRES", "got 'CurrentItem.GENRES' .*of number values"),
        ("EXCLUDE ItemID WHERE Interactions.EVENT_TYPE = 1", "want a text value, which Interactions.EVENT_TYPE has"),
        ('EXCLUDE ItemID WHERE Items.YEAR = 1 IF CurrentUser.AGE = "1"', "want a number value, which Users.AGE has"),
        ("INCLUDE ItemID WHERE Items.YEAR = $X | EXCLUDE ItemID WHERE Items.Brand = $X",
         r"got '\$X' at line 1, column 75, want another name: it stands for number values before"),
        # The current item, the current user, the wildcard.
        ("INCLUDE ActionID WHERE Actions.VALUE > CurrentItem.PRICE", "want a value; only fields of items and users"),
        ("INCLUDE ItemID WHERE Interactions.EVENT_TYPE = CurrentItem.GENRES", "want a value; only fields of items"),
        ("INCLUDE UserID WHERE Users.AGE = 1 IF CurrentUser.AGE = 1", "got 'CurrentUser.AGE' .*want no IF"),
        ("INCLUDE ItemID WHERE Items.GENRES IN (*)", r"got '\*' .*want a value; \* stands for event types only"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_its_place(text, message, schemas):
    with pytest.raises(InvalidInput, match=message) as caught:
        parse_filter(text, schemas)
    assert caught.value.violations[0].field == "filterExpression"


@pytest.mark.parametrize("operator", ["NOT IN", "not_in"])
def test_not_in_takes_no_parameters_and_says_so_as_personalize_does(operator, schemas):
    with pytest.raises(InvalidInput) as caught:
        parse_filter(f'EXCLUDE ItemID WHERE Items.GENRES {operator} ("a", $Genre)', schemas)
    assert caught.value.message == (
        "Could not create filter. Invalid input symbol: $Genre. Placeholders are not allowed with NOT_IN operator."
    )


@pytest.mark.parametrize(
    ("text", "dataset"),
    [
        ("INCLUDE ItemID WHERE Items.YEAR = 1", Dataset.ITEMS),
        ('EXCLUDE ItemID WHERE Interactions.EVENT_TYPE = "*"', Dataset.INTERACTIONS),
        ("EXCLUDE ItemID WHERE Items.YEAR = 1 IF CurrentUser.AGE = 1", Dataset.USERS),
    ],
)
def test_datasets_that_the_group_lacks_are_refused(text, dataset, schemas):
    others = {name: schema for name, schema in schemas.items() if name is not dataset}
    with pytest.raises(InvalidInput, match=r"want a field of a dataset that the group has: .*Actions"):
        parse_filter(text, others)


def test_malformed_expressions_name_line_and_column(schemas):
    with pytest.raises(InvalidInput) as caught:
        parse_filter("INCLUDE ItemID\nWHERE Items.YEAR LIKE 3", schemas)
    assert caught.value.message == (
        "Could not create filter. Invalid Expression: `filterExpression`: got 'LIKE' at line 2, column 18, want IN or "
        "NOT IN or one of = != < <= > >="
    )


def test_the_end_of_a_text_is_named(schemas):
    with pytest.raises(InvalidInput, match="got the end at line 1, column 16, want WHERE"):
        parse_filter("INCLUDE ItemID ", schemas)


def test_expressions_have_1_to_2500_characters(schemas):
    text = "INCLUDE ItemID WHERE Items.YEAR = 1"
    assert parse_filter(text.ljust(2500), schemas).expressions
    for wrong in ("", text.ljust(2501)):
        with pytest.raises(InvalidInput, match=f"got '{len(wrong)} characters', want 1 to 2500"):
            parse_filter(wrong, schemas)


def test_a_filter_reads_10_different_fields(schemas):
    conditions = [f"Items.F{number} = CurrentItem.f{number}" for number in range(11)]
    accepted = "INCLUDE ItemID WHERE " + " AND ".join(conditions[:10])
    assert len(parse_filter(accepted, schemas).fields) == 10
    for refused in (
        "INCLUDE ItemID WHERE " + " AND ".join(conditions),
        accepted + "| EXCLUDE ItemID WHERE Items.YEAR = 1",
        accepted + " IF CurrentUser.AGE = 1",
    ):
        with pytest.raises(InvalidInput, match=r"got '11 fields: .*Items.F0, .*want at most 10"):
            parse_filter(refused, schemas)


def test_the_number_of_fields_is_a_quota(schemas):
    with pytest.raises(InvalidInput, match="want at most 1"):
        parse_filter("INCLUDE ItemID WHERE Items.YEAR = 1 AND Items.PRICE = 1", schemas, max_fields=1)
