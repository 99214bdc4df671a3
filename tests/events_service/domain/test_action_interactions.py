"""What PutActionInteractions accepts, and the rows that it becomes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from common.avro import AvroSchema
from common.errors import InvalidInput
from events_service.domain import RawActionInteraction, interaction_values
from events_service.domain.action_interactions import check_action_interactions
from tests.events_service.samples import NOW_MILLIS, avro

SCHEMA = AvroSchema.parse(
    avro(
        ("USER_ID", "string"),
        ("ACTION_ID", "string"),
        ("EVENT_TYPE", "string"),
        ("TIMESTAMP", "long"),
        ("IMPRESSION", ["null", "string"]),
        ("CHANNEL", ["null", "string"]),
    )
)
WHOLE = RawActionInteraction(
    action_id="join",
    user_id="u",
    session_id="s",
    event_type="Taken",
    sent_at_millis=NOW_MILLIS,
    impression=("join", "rate"),
    properties='{"channel": "mail"}',
)


def check(*sent):
    return check_action_interactions(sent, SCHEMA)


def refused(field: str, **changes) -> str:
    with pytest.raises(InvalidInput) as caught:
        check(replace(WHOLE, **changes))
    assert f"`actionInteractions[0].{field}`" in caught.value.message
    return caught.value.message


def test_interaction_becomes_a_row():
    (interaction,) = check(WHOLE)

    assert interaction_values(interaction, SCHEMA) == {
        "USER_ID": "u",
        "ACTION_ID": "join",
        "EVENT_TYPE": "Taken",
        "TIMESTAMP": NOW_MILLIS // 1000,
        "IMPRESSION": "join|rate",
        "CHANNEL": "mail",
    }


def test_user_may_be_absent():
    (interaction,) = check(replace(WHOLE, user_id=None))

    assert interaction_values(interaction, SCHEMA)["USER_ID"] is None


def test_id_is_the_senders_or_made_of_the_content():
    named, first, again, other = check(replace(WHOLE, event_id="mine"), WHOLE, WHOLE, replace(WHOLE, action_id="rate"))

    assert named.event_id == "mine"
    assert first.event_id == again.event_id != other.event_id


@pytest.mark.parametrize("event_type", ["Taken", "TAKEN", "Not taken", "NOT_TAKEN", "not taken", "viewed"])
def test_event_types_are_taken_in_the_spellings_of_the_documentation(event_type):
    (interaction,) = check(replace(WHOLE, event_type=event_type))

    assert interaction.event_type == event_type


def test_event_type_that_no_recipe_reads_is_refused():
    assert "Taken, Not taken, Viewed" in refused("eventType", event_type="click")


@pytest.mark.parametrize(
    ("attribute", "field"),
    [
        ("action_id", "actionId"),
        ("session_id", "sessionId"),
        ("event_type", "eventType"),
        ("sent_at_millis", "timestamp"),
    ],
)
def test_required_members(attribute, field):
    refused(field, **{attribute: None})


@pytest.mark.parametrize(
    ("attribute", "value", "field"),
    [
        ("action_id", "x" * 257, "actionId"),
        ("user_id", "", "userId"),
        ("event_id", "x" * 257, "eventId"),
        ("recommendation_id", "x" * 41, "recommendationId"),
        ("impression", ("x",) * 26, "impression"),
        ("sent_at_millis", NOW_MILLIS * 1000, "timestamp"),
        ("properties", '{"actionId": "x"}', "properties"),
        ("properties", '{"channel": "a", "CHANNEL": "b"}', "properties"),
        ("properties", '{"channel": 7}', "properties.channel"),
        ("properties", "{", "properties"),
    ],
)
def test_bad_members_are_refused_by_name(attribute, value, field):
    refused(field, **{attribute: value})


@pytest.mark.parametrize("count", [0, 11])
def test_calls_have_one_to_ten_interactions(count):
    with pytest.raises(InvalidInput, match="`actionInteractions`"):
        check(*[WHOLE] * count)
