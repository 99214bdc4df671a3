"""What PutEvents accepts, and what it makes of it."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from common.avro import AvroSchema
from common.errors import InvalidInput
from events_service.domain import check_events
from events_service.domain.members import MEMBERS
from events_service.domain.rules import check_tracking_id
from tests.events_service.samples import NOW_MILLIS, SCHEMA, avro, call, sent


def one(schema=SCHEMA, **more):
    (checked,) = check_events(call(sent(**more)), schema)
    return checked


def refused(field, *, schema=SCHEMA, **more) -> str:
    with pytest.raises(InvalidInput) as caught:
        one(schema, **more)
    assert f"`{field}`" in caught.value.message
    return caught.value.message


def test_full_event_is_kept_as_sent():
    checked = one(
        event_id="mine",
        event_value=0.5,
        properties='{"numRatings": 12}',
        recommendation_id="RID-1",
        impression=("a", "b"),
        attribution_source="front page",
    )

    assert (checked.event_id, checked.session_id, checked.user_id) == ("mine", "s", "u")
    assert (checked.event_type, checked.sent_at_millis, checked.item_id) == ("watch", NOW_MILLIS, "i")
    assert (checked.event_value, checked.properties_json) == (0.5, '{"numRatings":12}')
    assert (checked.recommendation_id, checked.impression) == ("RID-1", ("a", "b"))
    assert checked.attribution_source == "front page"


def test_user_and_item_may_be_absent_whatever_the_schema_says():
    (checked,) = check_events(call(sent(item_id=None), user_id=None), SCHEMA)

    assert (checked.user_id, checked.item_id) == (None, None)


@pytest.mark.parametrize("session_id", [None, "", "x" * 257])
def test_session_is_required(session_id):
    with pytest.raises(InvalidInput, match="`sessionId`"):
        check_events(call(sent(), session_id=session_id), SCHEMA)


@pytest.mark.parametrize("user_id", ["", "x" * 257])
def test_user_has_1_to_256_characters(user_id):
    with pytest.raises(InvalidInput, match="`userId`"):
        check_events(call(sent(), user_id=user_id), SCHEMA)


@pytest.mark.parametrize("tracking_id", [None, "", "x" * 257])
def test_tracking_id_is_required(tracking_id):
    with pytest.raises(InvalidInput, match="`trackingId`"):
        check_tracking_id(tracking_id)


@pytest.mark.parametrize("count", [0, 11])
def test_calls_have_1_to_10_events(count):
    with pytest.raises(InvalidInput, match="`eventList`"):
        check_events(call(*[sent() for _ in range(count)]), SCHEMA)


def test_ten_events_are_accepted():
    assert len(check_events(call(*[sent(item_id=f"i{number}") for number in range(10)]), SCHEMA)) == 10


def test_one_bad_event_is_named_and_none_is_kept():
    with pytest.raises(InvalidInput, match=r"`eventList\[1\]\.eventType`"):
        check_events(call(sent(), sent(event_type=None)), SCHEMA)


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("eventType", {"event_type": None}),
        ("eventType", {"event_type": ""}),
        ("eventType", {"event_type": "x" * 257}),
        ("eventId", {"event_id": ""}),
        ("eventId", {"event_id": "x" * 257}),
        ("itemId", {"item_id": ""}),
        ("itemId", {"item_id": "x" * 257}),
        ("itemId", {"item_id": "half of a character \ud800"}),
        ("sentAt", {"sent_at_millis": None}),
        ("sentAt", {"sent_at_millis": -62_135_596_800_001}),
        ("sentAt", {"sent_at_millis": NOW_MILLIS * 1000}),
        ("eventValue", {"event_value": math.inf}),
        ("eventValue", {"event_value": math.nan}),
        ("recommendationId", {"recommendation_id": "x" * 41}),
        ("recommendationId", {"recommendation_id": ""}),
        ("impression", {"impression": tuple(f"i{number}" for number in range(26))}),
        ("impression[1]", {"impression": ("a", "")}),
        ("impression[0]", {"impression": ("a|b",)}),
        ("impression", {"impression": tuple("x" * 200 for _ in range(6))}),
        ("metricAttribution.eventAttributionSource", {"attribution_source": ""}),
        ("metricAttribution.eventAttributionSource", {"attribution_source": "  "}),
        ("metricAttribution.eventAttributionSource", {"attribution_source": "x" * 1025}),
        ("metricAttribution.eventAttributionSource", {"attribution_source": "é"}),
        ("properties", {"properties": ""}),
        ("properties", {"properties": "{"}),
        ("properties", {"properties": "[1]"}),
        ("properties", {"properties": '"text"'}),
        ("properties", {"properties": '{"a": NaN}'}),
        ("properties", {"properties": '{"a": 1e999}'}),
        ("properties", {"properties": "[" * 1000}),
        ("properties", {"properties": '{"a": "\\ud800"}'}),
        ("properties", {"properties": '{"\\ud800": 1}'}),
        ("properties", {"properties": json.dumps({"a": "x" * 1024})}),
        ("properties.numRatings", {"properties": '{"numRatings": "many"}'}),
        ("properties.numRatings", {"properties": '{"numRatings": 1.5}'}),
        ("properties.numRatings", {"properties": '{"numRatings": 2147483648}'}),
        ("properties.numRatings", {"properties": '{"numRatings": true}'}),
        ("properties.numRatings", {"properties": '{"numRatings": [1]}'}),
    ],
)
def test_bad_members_are_refused_by_name(field, bad):
    refused(f"eventList[0].{field}", **bad)


@pytest.mark.parametrize(
    "key", ["userId", "sessionid", "EVENT_TYPE", "timestamp", "Timestamp", "recommendationId", "impression"]
)
def test_reserved_keys_are_refused_in_any_spelling(key):
    assert repr(key) in refused("eventList[0].properties", properties=json.dumps({key: "x"}))


def test_one_property_in_two_spellings_is_refused():
    refused("eventList[0].properties", properties='{"numRatings": 1, "NUM_RATINGS": 2}')


@pytest.mark.parametrize("spelling", ["itemId", "ITEM_ID", "itemid"])
def test_item_in_the_properties_is_moved_to_its_member(spelling):
    checked = one(item_id=None, properties=json.dumps({spelling: "legacy", "other": 1}))

    assert (checked.item_id, checked.properties_json) == ("legacy", '{"other":1}')


@pytest.mark.parametrize("value", [4.5, "4.5"])
def test_value_in_the_properties_is_moved_to_its_member(value):
    checked = one(properties=json.dumps({"eventValue": value}))

    assert (checked.event_value, checked.properties_json) == (4.5, None)


def test_own_members_win_over_those_in_the_properties():
    checked = one(event_value=1.0, properties='{"itemId": "legacy", "eventValue": 2}')

    assert (checked.item_id, checked.event_value, checked.properties_json) == ("i", 1.0, None)


@pytest.mark.parametrize(
    ("field", "properties"),
    [
        ("itemId", {"itemId": 7}),
        ("itemId", {"itemId": ""}),
        ("eventValue", {"eventValue": "much"}),
        ("eventValue", {"eventValue": 1e39}),
    ],
)
def test_bad_legacy_members_are_refused(field, properties):
    refused(f"eventList[0].properties.{field}", item_id=None, properties=json.dumps(properties))


def test_properties_that_were_encoded_twice_are_unwrapped():
    assert one(properties=json.dumps(json.dumps({"numRatings": 3}))).properties_json == '{"numRatings":3}'


def test_event_of_more_than_10_kib_is_refused():
    # The limits of single members keep events of ordinary letters below it.
    wide = "\U0001f3ac"
    event = sent(
        item_id=wide * 256,
        impression=tuple(wide * 39 for _ in range(25)),
        properties=json.dumps({"a": wide * 1000}, ensure_ascii=False),
    )

    with pytest.raises(InvalidInput, match=r"`eventList\[0\]`: got '1\d{4} bytes', want at most 10240 bytes"):
        check_events(call(event, session_id=wide * 256, user_id=wide * 256), SCHEMA)


def test_properties_in_other_alphabets_count_by_characters():
    assert (
        one(properties=json.dumps({"a": "é" * 1000}, ensure_ascii=False)).properties_json == f'{{"a":"{"é" * 1000}"}}'
    )


def test_numbers_that_are_written_longer_than_they_were_sent_are_accepted():
    properties = "{" + ",".join(f'"k{number}":1e15' for number in range(80)) + "}"

    assert len(one(properties=properties).properties_json) > 1024


def test_properties_of_required_columns_are_required():
    schema = AvroSchema.parse(
        avro(("USER_ID", "string"), ("ITEM_ID", "string"), ("TIMESTAMP", "long"), ("DEVICE_TYPE", "string"))
    )

    assert "no null" in refused("eventList[0].properties.deviceType", schema=schema)
    assert one(schema, properties='{"deviceType": "tv"}').properties_json == '{"deviceType":"tv"}'


REQUIRED_BY_THE_SCHEMA = AvroSchema.parse(
    avro(
        ("USER_ID", "string"), ("ITEM_ID", "string"), ("TIMESTAMP", "long"), ("EVENT_TYPE", "string"),
        ("EVENT_VALUE", "float"), ("SESSION_ID", "string"), ("IMPRESSION", "string"),
        ("RECOMMENDATION_ID", "string"), ("EVENT_ATTRIBUTION_SOURCE", "string"),
    )
)  # fmt: skip


def test_members_may_be_left_out_although_the_schema_requires_their_columns():
    checked = one(REQUIRED_BY_THE_SCHEMA)

    assert (checked.event_value, checked.impression, checked.recommendation_id) == (None, (), None)


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
def test_event_without_a_member_is_refused_as_the_table_says(member):
    full = sent(event_value=1.0, impression=("a",), recommendation_id="RID-1", attribution_source="page")
    bare, request = full, call(full)
    if member.of_call:
        request = replace(request, **{member.attribute: None})
    else:
        bare = replace(full, **{member.attribute: () if member.attribute == "impression" else None})
        request = call(bare)

    if member.required:
        with pytest.raises(InvalidInput, match=f"`{member.path(r'eventList.0.')}`: got None"):
            check_events(request, REQUIRED_BY_THE_SCHEMA)
    else:
        (checked,) = check_events(request, REQUIRED_BY_THE_SCHEMA)
        assert member.value(checked) is None


@pytest.mark.parametrize("millis", [NOW_MILLIS * 1000, 1_700_000_000_000 * 1000])
def test_milliseconds_are_called_so(millis):
    message = refused("eventList[0].sentAt", sent_at_millis=millis)

    assert f"got {millis // 1000}, want seconds since 1970-01-01 UTC" in message
    assert f"look like milliseconds: of those it is {millis // 1_000_000} seconds" in message


@pytest.mark.parametrize("millis", [-1, -428_716_800_000, -62_135_596_800_000, 253_402_300_799_999])
def test_moments_of_the_years_1_to_9999_are_kept(millis):
    assert one(sent_at_millis=millis).sent_at_millis == millis


def test_event_type_is_required_even_if_the_schema_has_no_column_for_it():
    schema = AvroSchema.parse(avro(("USER_ID", "string"), ("ITEM_ID", "string"), ("TIMESTAMP", "long")))

    refused("eventList[0].eventType", schema=schema, event_type=None)


def test_properties_without_a_column_are_kept():
    assert one(properties='{"mood": "fine"}').properties_json == '{"mood":"fine"}'


def test_id_is_made_from_the_content():
    assert one().event_id == one().event_id
    assert len({one().event_id, one(item_id="other").event_id, one(sent_at_millis=1).event_id}) == 3


def test_order_of_properties_does_not_change_the_id():
    assert one(properties='{"a": 1, "b": 2}').event_id == one(properties='{"b": 2, "a": 1}').event_id
