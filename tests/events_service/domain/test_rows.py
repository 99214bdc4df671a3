"""The row of the interactions table that an event becomes."""

from __future__ import annotations

import polars as pl
import pytest

from common import columns
from common.arrow_schema import interactions_frame_schema
from common.avro import AvroField, AvroSchema
from common.errors import CorruptArtifact, InvalidInput
from common.features.values import convert
from common.tables import Table
from events_service.dataset_sink import events_frame
from events_service.domain import interaction_values
from events_service.domain.rows import check_columns
from tests.events_service.samples import NOW_MILLIS, SCHEMA, avro, event, logged


def test_members_become_their_columns():
    row = interaction_values(
        event(0, event_value=0.5, impression=("a", "b"), recommendation_id="RID-1", properties_json='{"numRatings":3}'),
        SCHEMA,
    )

    assert row == {
        "USER_ID": "u",
        "ITEM_ID": "i0",
        "TIMESTAMP": NOW_MILLIS // 1000,
        "EVENT_TYPE": "watch",
        "EVENT_VALUE": 0.5,
        "IMPRESSION": "a|b",
        "RECOMMENDATION_ID": "RID-1",
        "NUM_RATINGS": 3,
    }


def test_what_was_not_sent_is_null():
    row = interaction_values(event(0, user_id=None), SCHEMA)

    assert [name for name, value in row.items() if value is None] == [
        "USER_ID", "EVENT_VALUE", "IMPRESSION", "RECOMMENDATION_ID", "NUM_RATINGS",
    ]  # fmt: skip


def test_exact_spelling_of_a_column_wins_over_one_that_reads_alike():
    row = interaction_values(event(0, properties_json='{"NUM_RATINGS":1,"numRatings":2}'), SCHEMA)

    assert row["NUM_RATINGS"] == 1


def test_default_of_the_schema_stands_in_for_what_was_not_sent():
    schema = AvroSchema("Interactions", (AvroField("DEVICE", "string", default="tv"),))

    assert interaction_values(event(0), schema) == {"DEVICE": "tv"}
    assert interaction_values(event(0, properties_json='{"device":"phone"}'), schema) == {"DEVICE": "phone"}


def test_null_in_a_column_without_null_is_refused():
    schema = AvroSchema.parse(avro(("DEVICE", "string")))

    with pytest.raises(InvalidInput, match=r"`event\.properties\.device`"):
        check_columns(event(0), schema, properties={"device": None})


def test_event_that_never_fitted_its_schema_is_an_error_without_its_values():
    schema = AvroSchema.parse(avro(("DEVICE", "int")))

    with pytest.raises(CorruptArtifact, match="DEVICE") as caught:
        interaction_values(event(0, properties_json='{"device":"private words"}'), schema)

    assert "private" not in str(caught.value)


MEMBERS_OF_THEIR_OWN = (
    "USER_ID",
    "ITEM_ID",
    "EVENT_VALUE",
    "IMPRESSION",
    "RECOMMENDATION_ID",
    "EVENT_ATTRIBUTION_SOURCE",
)


def test_required_columns_of_members_are_null_when_the_member_was_not_sent():
    schema = AvroSchema.parse(avro(*[(name, "string") for name in MEMBERS_OF_THEIR_OWN]))
    bare = event(0, user_id=None, item_id=None)

    check_columns(bare, schema, properties={})

    assert interaction_values(bare, schema) == dict.fromkeys(MEMBERS_OF_THEIR_OWN)


@pytest.mark.parametrize("name", ["SESSION_ID", "session_id", "sessionId"])
def test_session_column_holds_the_session(name):
    schema = AvroSchema.parse(avro((name, "string")))

    check_columns(event(0, session_id="visit"), schema, properties={})

    assert interaction_values(event(0, session_id="visit"), schema) == {name: "visit"}


def test_session_column_of_another_type_refuses_what_is_not_of_it():
    with pytest.raises(InvalidInput, match="`sessionId`: got 'visit', want a whole number"):
        check_columns(event(0, session_id="visit"), AvroSchema.parse(avro(("SESSION_ID", "long"))), properties={})


def test_rows_of_imports_and_of_events_without_members_share_a_table(store):
    schema = AvroSchema.parse(avro(("USER_ID", "string"), ("IMPRESSION", "string"), ("EVENT_VALUE", "float")))
    imported = [{"USER_ID": "u", "IMPRESSION": "a|b", "EVENT_VALUE": 1.0, columns.SOURCE: columns.SOURCE_BULK}]
    interactions = Table(store, "datasets/required")
    interactions.append(pl.DataFrame(imported, schema=interactions_frame_schema(schema)))

    interactions.append(events_frame([logged(event(0))], schema))

    rows = interactions.read().sort("EVENT_VALUE", nulls_last=True)
    assert rows["IMPRESSION"].to_list() == ["a|b", None]
    assert rows["EVENT_VALUE"].to_list() == [1.0, None]


@pytest.mark.parametrize(
    ("kind", "value", "result"),
    [
        ("string", "x", "x"),
        ("int", 3, 3),
        ("int", 3.0, 3),
        ("int", "-3", -3),
        ("int", -(2**31), -(2**31)),
        ("long", 2**63 - 1, 2**63 - 1),
        ("long", str(2**63 - 1), 2**63 - 1),
        ("float", "0.5", 0.5),
        ("double", 1e300, 1e300),
        ("boolean", True, True),
        ("boolean", "False", False),
    ],
)
def test_values_are_converted_to_the_type_of_their_column(kind, value, result):
    value_in_column = convert(value, AvroField("X", kind))

    assert value_in_column == result
    assert type(value_in_column) is type(result)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", 1),
        ("string", "x" * 1001),
        ("string", "\ud800"),
        ("int", 2**31),
        ("int", "1.5"),
        ("int", True),
        ("long", 2**63),
        ("long", 1e30),
        ("long", "inf"),
        ("float", 3.5e38),
        ("float", "nan"),
        ("double", {}),
        ("boolean", 1),
        ("boolean", "yes"),
    ],
)
def test_values_of_other_types_are_refused(kind, value):
    assert convert(value, AvroField("X", kind)) is None
