import pytest

from common.filters.expression import (
    AllOf,
    AnyOf,
    Condition,
    Constant,
    CurrentItem,
    Dataset,
    Effect,
    Expression,
    Field,
    Operator,
    Placeholder,
    Target,
    Wildcard,
)
from common.filters.parser import MalformedExpression, parse_chain, parse_constants, parse_predicate


def items(name, operator, *operands):
    return Condition(Field(Dataset.ITEMS, name), Operator(operator), operands)


A, B, C, D = (items(name, "=", Constant(1)) for name in "ABCD")
_A, _B, _C, _D = (f"Items.{name} = 1" for name in "ABCD")


def test_an_expression_has_an_effect_a_target_conditions_and_perhaps_an_if():
    text = 'EXCLUDE ItemID WHERE Items.GENRE IN ("a", $B) IF CurrentUser.AGE > 18 AND CurrentUser.CITY NOT IN ("x")'
    when = (
        Condition(Field(Dataset.USERS, "AGE"), Operator.GREATER, (Constant(18),)),
        Condition(Field(Dataset.USERS, "CITY"), Operator.NOT_IN, (Constant("x"),)),
    )
    where = items("GENRE", "IN", Constant("a"), Placeholder("B"))
    assert parse_chain(text) == (Expression(Effect.EXCLUDE, Target.ITEM, where, when),)


def test_expressions_are_chained():
    chain = parse_chain(f"INCLUDE ItemID WHERE {_A} | EXCLUDE ItemID WHERE {_B}|EXCLUDE ItemID WHERE {_C}")
    assert [(expression.effect, expression.where) for expression in chain] == [
        (Effect.INCLUDE, A),
        (Effect.EXCLUDE, B),
        (Effect.EXCLUDE, C),
    ]


@pytest.mark.parametrize(
    ("text", "predicate"),
    [
        (f"{_A} OR {_B} AND {_C}", AnyOf((A, AllOf((B, C))))),
        (f"{_A} AND {_B} OR {_C}", AnyOf((AllOf((A, B)), C))),
        (f"({_A} OR {_B}) AND {_C}", AllOf((AnyOf((A, B)), C))),
        (f"{_A} OR {_B} OR {_C} OR {_D}", AnyOf((A, B, C, D))),
        (f"{_A} AND ({_B} AND ({_C} AND {_D}))", AllOf((A, B, C, D))),
        (f"(({_A}) OR (({_B} OR {_C})))", AnyOf((A, B, C))),
    ],
)
def test_and_binds_before_or_and_parentheses_before_both(text, predicate):
    assert parse_predicate(text) == predicate


@pytest.mark.parametrize(
    "text",
    [
        'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE NOT IN ("Purchase") AND Interactions.EVENT_TYPE = "*"',
        'exclude itemid where interactions.EVENT_TYPE not in ("Purchase") and interactions.EVENT_TYPE = "*"',
        'Exclude ITEMID Where INTERACTIONS.EVENT_TYPE Not_In("Purchase")And INTERACTIONS . EVENT_TYPE="*"',
        '\n\tEXCLUDE\nItemID\rWHERE(Interactions.EVENT_TYPE NOT \n IN("Purchase"))AND(Interactions.EVENT_TYPE=("*"))  ',
    ],
)
def test_keywords_and_datasets_come_in_any_case_and_with_any_space(text):
    field = Field(Dataset.INTERACTIONS, "EVENT_TYPE")
    purchases = Condition(field, Operator.NOT_IN, (Constant("Purchase"),))
    any_event = Condition(field, Operator.EQUAL, (Constant("*"),))
    assert parse_chain(text) == (Expression(Effect.EXCLUDE, Target.ITEM, AllOf((purchases, any_event))),)


@pytest.mark.parametrize("name", ["IN", "and", "Where", "IF", "ItemID", "Items", "NOT_IN", "CurrentItem", "_1"])
def test_fields_may_be_named_like_keywords(name):
    assert parse_predicate(f"Items.{name} IN (1) AND {_A}") == AllOf((items(name, "IN", Constant(1)), A))


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("Items.PRICE <= CurrentItem.PRICE", items("PRICE", "<=", CurrentItem("PRICE"))),
        ("Items.PRICE >= (currentitem.PRICE)", items("PRICE", ">=", CurrentItem("PRICE"))),
        ("Items.GENRE IN CurrentItem.GENRE", items("GENRE", "IN", CurrentItem("GENRE"))),
        ("Items.GENRE NOT IN (CurrentItem.GENRE)", items("GENRE", "NOT IN", CurrentItem("GENRE"))),
        ("Items.PRICE > ($Value_1)", items("PRICE", ">", Placeholder("Value_1"))),
        ("Items.PRICE != $9", items("PRICE", "!=", Placeholder("9"))),
        ("Items.X IN (*)", items("X", "IN", Wildcard())),
    ],
)
def test_operands_are_literals_parameters_and_fields_of_the_current_item(text, condition):
    assert parse_predicate(text) == condition


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1970", 1970),
        ("-5", -5),
        ("+5", 5),
        ("9007199254740993", 9007199254740993),
        ("1.5", 1.5),
        (".5", 0.5),
        ("2.", 2.0),
        ("-1.5E3", -1500.0),
        ('""', ""),
        ('"größe 日本"', "größe 日本"),
        (r'"a \"b\" \\ c"', 'a "b" \\ c'),
        (r'"\u00fc\n"', "ü\n"),
        ('"a\tb\nc"', "a\tb\nc"),
        ('"AND | ) $x"', "AND | ) $x"),
    ],
)
def test_literals(text, value):
    (constant,) = parse_constants(text)
    assert (constant.value, type(constant.value)) == (value, type(value))


def test_several_values_are_separated_by_commas():
    assert parse_constants(' "a,b" ,2,"c"') == (Constant("a,b"), Constant(2), Constant("c"))


@pytest.mark.parametrize(
    ("text", "position", "got", "want"),
    [
        ("", 0, "", "INCLUDE or EXCLUDE"),
        ("SELECT ItemID", 0, "SELECT", "INCLUDE or EXCLUDE"),
        ("INCLUDE items WHERE", 8, "items", "ItemID or ActionID or UserID"),
        ("INCLUDE ItemIDs WHERE", 8, "ItemIDs", "ItemID or ActionID or UserID"),
        ("INCLUDE ItemID Items.A = 1", 15, "Items", "WHERE"),
        ("INCLUDE ItemID WHERE Genres.A = 1", 21, "Genres", "a field as Items.NAME or ("),
        (f"INCLUDE ItemID WHERE NOT {_A}", 21, "NOT", "a field as Items.NAME or ("),
        ("INCLUDE ItemID WHERE CurrentUser.A = 1", 21, "CurrentUser", "a field as Items.NAME or ("),
        ("INCLUDE ItemID WHERE Items.1A = 1", 27, "1A", "the name of a field"),
        ("INCLUDE ItemID WHERE Items.A == 1", 30, "=", "a number"),
        ("INCLUDE ItemID WHERE Items.A LIKE 1", 29, "LIKE", "IN or NOT IN or one of = != < <= > >="),
        ("INCLUDE ItemID WHERE Items.A = x", 31, "x", "a number"),
        ("INCLUDE ItemID WHERE Items.A = 'x'", 31, "'", "text in double quotes"),
        ('INCLUDE ItemID WHERE Items.A = "x', 31, '"x', "text that ends with a double quote"),
        (r'INCLUDE ItemID WHERE Items.A = "\q"', 31, r'"\q"', "text in double quotes"),
        (r'INCLUDE ItemID WHERE Items.A = "\ud800"', 31, r'"\ud800"', "text in double quotes"),
        ("INCLUDE ItemID WHERE Items.A = 1e999", 31, "1e999", "a number of at most"),
        ("INCLUDE ItemID WHERE Items.A = (1, 2)", 33, ",", ")"),
        ("INCLUDE ItemID WHERE Items.A IN ()", 33, ")", "text in double quotes"),
        ("INCLUDE ItemID WHERE Items.A IN $X", 32, "$X", "("),
        ("INCLUDE ItemID WHERE Items.A IN (1,)", 35, ")", "a number"),
        (f"INCLUDE ItemID WHERE Items.A = ${'x' * 51}", 31, f"${'x' * 51}", "at most 50 characters"),
        (f"INCLUDE ItemID WHERE ({_A}", 33, "", ")"),
        (f"INCLUDE ItemID WHERE {_A})", 32, ")", "the end"),
        (f"INCLUDE ItemID WHERE {_A} {_B}", 33, "Items", "AND or OR"),
        (f"INCLUDE ItemID WHERE {_A} |", 34, "", "INCLUDE or EXCLUDE"),
        (f"INCLUDE ItemID WHERE {_A} IF {_B}", 36, "Items", "a field as CurrentUser.NAME"),
        (f"INCLUDE ItemID WHERE {_A} IF CurrentUser.B = 1 OR", 54, "OR", "AND"),
        (f"INCLUDE ItemID WHERE {_A} IF (CurrentUser.B = 1)", 36, "(", "a field as CurrentUser.NAME"),
    ],
)  # fmt: skip
def test_what_is_no_expression_is_refused_with_its_place(text, position, got, want):
    with pytest.raises(MalformedExpression) as caught:
        parse_chain(text)
    assert (caught.value.position, caught.value.got) == (position, got)
    assert want in caught.value.want


def test_parentheses_of_any_depth_are_read():
    assert parse_predicate("(" * 5000 + _A + ")" * 5000) == A


def test_parameters_have_names_of_up_to_50_characters():
    assert parse_predicate(f"Items.A = ${'x' * 50}") == items("A", "=", Placeholder("x" * 50))
