"""What PutItems, PutUsers and PutActions accept, and the rows that it becomes."""

from __future__ import annotations

import json

import pytest

from common.avro import AvroSchema
from common.errors import CorruptArtifact, InvalidInput
from common.features.values import entity_values
from events_service.domain import Entity
from events_service.domain.entities import ACTIONS, ITEMS, USERS, RawEntity, check_entities
from tests.events_service.samples import ITEMS_SCHEMA_TEXT

SCHEMA = AvroSchema.parse(ITEMS_SCHEMA_TEXT)
WHOLE = {"genres": "War|Drama", "price": 3.5, "text": "A film.", "creationTimestamp": 1_700_000_000}


def check(*entities: RawEntity, kind=ITEMS, schema=SCHEMA):
    return check_entities(entities, schema, kind)


def raw(entity_id: str | None = "i1", **properties: object) -> RawEntity:
    return RawEntity(entity_id, json.dumps({**WHOLE, **properties}))


def row_of(entity: Entity, schema=SCHEMA) -> dict[str, object]:
    return entity_values(entity.entity_id, entity.properties_json, schema, id_column=ITEMS.id_column)


def refused(field: str, *entities: RawEntity, kind=ITEMS) -> str:
    with pytest.raises(InvalidInput) as caught:
        check(*entities, kind=kind)
    assert f"`{field}`" in caught.value.message
    return caught.value.message


def test_item_becomes_a_row_by_keys_in_camel_case():
    (item,) = check(raw())

    assert row_of(item) == {
        "ITEM_ID": "i1",
        "GENRES": "War|Drama",
        "PRICE": 3.5,
        "TEXT": "A film.",
        "CREATION_TIMESTAMP": 1_700_000_000,
        "STOCK": 7,
    }


def test_numbers_may_come_as_text_and_the_whole_twice_encoded():
    sent = RawEntity("i1", json.dumps(json.dumps({**WHOLE, "price": "3.5", "creationTimestamp": "1700000000"})))

    (item,) = check(sent)

    assert row_of(item)["PRICE"] == 3.5


@pytest.mark.parametrize("spelling", ["creationTimestamp", "CREATION_TIMESTAMP", "creationtimestamp"])
def test_column_is_recognised_whatever_its_case_and_underscores(spelling):
    properties = {key: value for key, value in WHOLE.items() if key != "creationTimestamp"}
    (item,) = check(RawEntity("i1", json.dumps({**properties, spelling: 5})))

    assert row_of(item)["CREATION_TIMESTAMP"] == 5


def test_text_may_be_as_long_as_the_properties_and_is_cut_as_in_files():
    (item,) = check(raw(text="x" * 30_000))

    assert row_of(item)["TEXT"] == "x" * 20_000


def test_columns_that_were_not_sent_are_null_or_their_default():
    (item,) = check(RawEntity("i1", '{"creationTimestamp": 5}'))

    row = row_of(item)
    assert (row["GENRES"], row["PRICE"], row["STOCK"]) == (None, None, 7)


@pytest.mark.parametrize("entity_id", [None, "", "x" * 257, "\ud800"])
def test_id_is_required(entity_id):
    refused("items[1].itemId", raw(), raw(entity_id))


@pytest.mark.parametrize(
    ("kind", "field"), [(ITEMS, "items[0].itemId"), (USERS, "users[0].userId"), (ACTIONS, "actions[0].actionId")]
)
def test_errors_name_the_members_of_the_call(kind, field):
    refused(field, RawEntity(None), kind=kind)


@pytest.mark.parametrize("count", [0, 11])
def test_calls_have_one_to_ten_items(count):
    refused("items", *[raw()] * count)


def test_key_without_a_column_is_refused_with_the_columns_that_there_are():
    message = refused("items[0].properties", raw(genre="War"))

    assert "'genre'" in message
    assert "GENRES, PRICE" in message


def test_own_id_is_no_property():
    refused("items[0].properties", raw(itemId="i2"))


def test_property_in_two_spellings_is_refused():
    assert "two spellings" in refused("items[0].properties", raw(GENRES="War"))


def test_column_without_null_must_have_a_value():
    refused("items[0].properties.CREATION_TIMESTAMP", RawEntity("i1", '{"price": 1}'))
    refused("items[0].properties.creationTimestamp", raw(creationTimestamp=None))
    refused("items[0].properties.CREATION_TIMESTAMP", RawEntity("i1"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("price", "dear"),
        ("price", 1e39),
        ("genres", 7),
        ("genres", "x" * 1001),
        ("creationTimestamp", 1.5),
        ("text", 3),
    ],
)
def test_value_of_another_type_is_refused_by_name(key, value):
    refused(f"items[0].properties.{key}", raw(**{key: value}))


@pytest.mark.parametrize("digits", ["0" * 5000 + "5", "+5", "5.0", "5e0", "50E-1"])
def test_number_as_text_may_be_written_in_any_way(digits):
    (item,) = check(raw(creationTimestamp=digits, price=digits))

    row = row_of(item)
    assert (row["CREATION_TIMESTAMP"], row["PRICE"]) == (5, 5.0)


@pytest.mark.parametrize(
    "text", ["1_0", " 10", "10\n", "\u0661", "1" * 5000, "1" * 30_000 + "x", "0x1", "1e", ".", "inf"]
)
def test_text_that_is_no_number_in_files_is_none_here(text):
    refused("items[0].properties.stock", raw(stock=text))


@pytest.mark.parametrize("text", ["9007199254740993", "+9007199254740993", "9007199254740993.0"])
def test_whole_number_as_text_is_exact(text):
    schema = AvroSchema.parse(
        ITEMS_SCHEMA_TEXT.replace('"name": "STOCK", "type": "int"', '"name": "STOCK", "type": "long"')
    )
    (item,) = check(raw(stock=text), schema=schema)

    assert row_of(item, schema)["STOCK"] == 9007199254740993


@pytest.mark.parametrize("name", ["CREATION_TIMESTAMP", "EXPIRATION_TIMESTAMP", "ACTION_EXPIRATION_TIMESTAMP"])
def test_moment_in_milliseconds_is_refused_as_in_files(name):
    schema = AvroSchema.parse(ITEMS_SCHEMA_TEXT.replace("CREATION_TIMESTAMP", name))

    with pytest.raises(InvalidInput, match=f"`items\\[0\\].properties.{name}`.*look like milliseconds"):
        check(RawEntity("i1", json.dumps({name: 1_700_000_000_000})), schema=schema)


@pytest.mark.parametrize(
    ("kind", "limit"), [(ITEMS, 32_000), (USERS, 24_000), (ACTIONS, 32_000)], ids=["items", "users", "actions"]
)
def test_properties_are_bounded(kind, limit):
    id_column = AvroSchema.parse(ITEMS_SCHEMA_TEXT.replace("ITEM_ID", kind.id_column))
    text = json.dumps({**WHOLE, "text": ""})
    padded = json.dumps({**WHOLE, "text": "x" * (limit - len(text))})
    assert len(padded) == limit

    assert len(check(RawEntity("x", padded), kind=kind, schema=id_column)) == 1
    with pytest.raises(InvalidInput, match=f"1 to {limit} characters"):
        check(RawEntity("x", padded + " "), kind=kind, schema=id_column)


@pytest.mark.parametrize("properties", ["", "[]", "7", "{", '{"a": NaN}', '{"genres": "\\ud800"}'])
def test_what_is_no_json_object_is_refused(properties):
    refused("items[0].properties", RawEntity("i1", properties))


def test_item_that_the_schema_never_accepted_is_an_error_that_quotes_no_value():
    with pytest.raises(CorruptArtifact) as caught:
        row_of(Entity("i1", '{"price":"secret"}'))

    assert "PRICE" in caught.value.message
    assert "secret" not in caught.value.message
