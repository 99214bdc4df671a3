"""The row of the interactions table that an event becomes."""

from __future__ import annotations

import pytest

from common.avro import AvroField, AvroSchema
from common.errors import InvalidInput
from events_service.domain import interaction_values
from events_service.domain.properties import convert
from tests.events_service.samples import NOW_MILLIS, SCHEMA, avro, event


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
        interaction_values(event(0, properties_json='{"device":null}'), schema)


@pytest.mark.parametrize(
    ("kind", "value", "converted"),
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
        ("boolean", None, None),
    ],
)
def test_values_are_converted_to_the_type_of_their_column(kind, value, converted):
    result = convert(value, AvroField("X", kind), field="x")

    assert result == converted
    assert type(result) is type(converted)


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
    with pytest.raises(InvalidInput, match="`x`"):
        convert(value, AvroField("X", kind), field="x")
