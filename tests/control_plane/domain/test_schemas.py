"""Which schemas are accepted for which datasets."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput
from control_plane.domain.schemas import DatasetType, Domain, check_dataset_type, check_schema
from tests.control_plane.world import INTERACTIONS, ITEMS, avro, column

USER, ITEM, TIME = column("USER_ID"), column("ITEM_ID"), column("TIMESTAMP", "long")
GENRES = column("GENRES", categorical=True)
VALID = [
    (None, INTERACTIONS, DatasetType.INTERACTIONS),
    (None, avro("Interactions", TIME, ITEM, USER, column("EVENT_VALUE", ["float", "null"])), DatasetType.INTERACTIONS),
    (None, ITEMS, DatasetType.ITEMS),
    (None, avro("Items", ITEM, column("PRICE", "float"), column("TITLE")), DatasetType.ITEMS),
    (None, avro("Items", ITEM, column("TEXT", textual=True)), DatasetType.ITEMS),
    (None, avro("Items", ITEM, column("NAME", itemName=True), column("TEXT", textual=True)), DatasetType.ITEMS),
    (None, avro("Users", column("USER_ID", ["string"]), column("AGE", "int")), DatasetType.USERS),
    (None, avro("Actions", column("ACTION_ID"), column("KIND", categorical=True)), DatasetType.ACTIONS),
    (
        None,
        avro("ActionInteractions", USER, column("ACTION_ID"), column("EVENT_TYPE"), TIME),
        DatasetType.ACTION_INTERACTIONS,
    ),
    (
        Domain.VIDEO_ON_DEMAND,
        avro("Items", ITEM, GENRES, column("CREATION_TIMESTAMP", "long")),
        DatasetType.ITEMS,
    ),
    (
        Domain.ECOMMERCE,
        avro("Items", ITEM, column("PRICE", "float"), column("CATEGORY_L1", categorical=True)),
        DatasetType.ITEMS,
    ),
    (Domain.ECOMMERCE, INTERACTIONS, DatasetType.INTERACTIONS),
]
INVALID = [
    ("not JSON", None, "{", "schema"),
    ("no record", None, '"string"', "record"),
    ("unknown record name", None, avro("Films", ITEM), "Films"),
    ("missing column", None, avro("Interactions", USER, ITEM), "TIMESTAMP"),
    ("wrong type of a required column", None, avro("Interactions", USER, ITEM, column("TIMESTAMP", "int")), "long"),
    (
        "nullable identifier",
        None,
        avro("Interactions", column("USER_ID", ["null", "string"]), ITEM, TIME),
        "never null",
    ),
    (
        "categorical event type",
        None,
        avro("Interactions", USER, ITEM, TIME, column("EVENT_TYPE", categorical=True)),
        "EVENT_TYPE",
    ),
    ("items without metadata", None, avro("Items", ITEM, column("CREATION_TIMESTAMP", "long")), "metadata"),
    ("users with text only", None, avro("Users", USER, column("NICKNAME")), "metadata"),
    ("textual in users", None, avro("Users", USER, column("BIO", textual=True)), "textual"),
    (
        "two textual fields",
        None,
        avro("Items", ITEM, column("A", textual=True), column("B", textual=True)),
        "at most one",
    ),
    ("names of users", None, avro("Users", USER, GENRES, column("NAME", itemName=True)), "no itemName"),
    ("two names", None, avro("Items", ITEM, GENRES, *(column(f"N{n}", itemName=True) for n in "ab")), "one itemName"),
    ("a number for a name", None, avro("Items", ITEM, GENRES, column("NAME", "int", itemName=True)), "plain string"),
    ("categorical number", None, avro("Items", ITEM, column("YEAR", "int", categorical=True)), "YEAR"),
    ("names alike", None, avro("Items", ITEM, GENRES, column("GEN_RES", "int")), "GEN_RES"),
    ("internal name", None, avro("Items", ITEM, GENRES, column("_SOURCE")), "_SOURCE"),
    (
        "too much metadata",
        None,
        avro("Interactions", USER, ITEM, TIME, *(column(f"C{number}", "int") for number in range(6))),
        "at most 5",
    ),
    ("nested field", None, avro("Items", ITEM, column("TAGS", {"type": "array", "items": "string"})), "TAGS"),
    ("domain without event type", Domain.ECOMMERCE, avro("Interactions", USER, ITEM, TIME), "EVENT_TYPE"),
    (
        "actions in a domain",
        Domain.ECOMMERCE,
        avro("Actions", column("ACTION_ID"), column("KIND", categorical=True)),
        "custom",
    ),
    ("plain category", Domain.VIDEO_ON_DEMAND, avro("Items", ITEM, column("GENRES"), TIME), "GENRES"),
    ("too long", None, " " * 20_001, "20000"),
]


@pytest.mark.parametrize(("domain", "schema", "kind"), VALID)
def test_schema_that_follows_the_rules_is_for_the_dataset_its_record_names(domain, schema, kind):
    assert check_schema(schema, domain) is kind


@pytest.mark.parametrize(("domain", "schema", "message"), [row[1:] for row in INVALID], ids=[row[0] for row in INVALID])
def test_schema_that_breaks_a_rule_is_refused_with_the_field_named(domain, schema, message):
    with pytest.raises(InvalidInput, match="got") as caught:
        check_schema(schema, domain)

    assert message in caught.value.message


@pytest.mark.parametrize("text", ["Interactions", "interactions", "INTERACTIONS"])
def test_dataset_type_is_case_insensitive(text):
    assert check_dataset_type(text) is DatasetType.INTERACTIONS


def test_unknown_dataset_type_is_refused():
    with pytest.raises(InvalidInput, match="`datasetType`: got 'Films', want one of INTERACTIONS"):
        check_dataset_type("Films")
