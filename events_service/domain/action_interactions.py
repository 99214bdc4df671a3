"""What PutActionInteractions accepts: Personalize's limits, and the schema of the dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, cast

from common.avro import AvroSchema
from common.columns import normalise_key
from common.errors import InvalidInput, invalid
from events_service.domain.events import ActionInteraction, RawActionInteraction
from events_service.domain.fields import (
    MAX_RECOMMENDATION_ID,
    check_impression,
    check_millis,
    check_required,
    check_text,
)
from events_service.domain.members import ACTION_MEMBERS, action_member_of
from events_service.domain.properties import parse_properties, write_properties
from events_service.domain.rows import check_columns

__all__ = ["check_action_interactions"]

_MAX_INTERACTIONS: Final = 10
#: Compared without case, underscores and spaces, as the documentation spells them in several ways.
_EVENT_TYPES: Final = {"taken": "Taken", "nottaken": "Not taken", "viewed": "Viewed"}


def check_action_interactions(
    sent: Sequence[RawActionInteraction], schema: AvroSchema
) -> tuple[ActionInteraction, ...]:
    """Return the interactions of a call, validated.

    Args:
        sent: As sent.
        schema: That of the dataset of action interactions.

    Raises:
        InvalidInput: Anything at all is wrong with the call; then none of its interactions is kept.
    """
    if not 1 <= len(sent) <= _MAX_INTERACTIONS:
        raise invalid("actionInteractions", got=len(sent), want=f"1 to {_MAX_INTERACTIONS} interactions")
    return tuple(_interaction(item, schema, field=f"actionInteractions[{index}]") for index, item in enumerate(sent))


def _interaction(sent: RawActionInteraction, schema: AvroSchema, *, field: str) -> ActionInteraction:
    for member in ACTION_MEMBERS:
        if member.required and getattr(sent, member.attribute) is None:
            raise invalid(member.path(field), got=None, want="a value: no interaction comes without it")
    properties = _properties(sent.properties, field=f"{field}.properties")
    interaction = ActionInteraction(
        event_id=check_text(f"{field}.eventId", sent.event_id) or "",
        session_id=check_required(f"{field}.sessionId", sent.session_id),
        event_type=_event_type(f"{field}.eventType", check_required(f"{field}.eventType", sent.event_type)),
        sent_at_millis=check_millis(f"{field}.timestamp", cast("int", sent.sent_at_millis)),
        action_id=check_required(f"{field}.actionId", sent.action_id),
        user_id=check_text(f"{field}.userId", sent.user_id),
        properties_json=write_properties(properties),
        recommendation_id=check_text(
            f"{field}.recommendationId", sent.recommendation_id, longest=MAX_RECOMMENDATION_ID
        ),
        impression=check_impression(f"{field}.impression", sent.impression),
    )
    check_columns(interaction, schema, properties=properties, field=field)
    return interaction if interaction.event_id else replace(interaction, event_id=interaction.content_id())


def _event_type(field: str, value: str) -> str:
    if normalise_key(value).replace(" ", "") not in _EVENT_TYPES:
        raise invalid(field, got=value, want=f"one of {', '.join(_EVENT_TYPES.values())}")
    return value


def _properties(text: str | None, *, field: str) -> dict[str, Any]:
    properties = {} if text is None else parse_properties(text, field=field)
    seen: set[str] = set()
    for key in properties:
        if (normalised := normalise_key(key)) in seen:
            raise InvalidInput(f"`{field}`: got {key!r} in two spellings, want each property once")
        seen.add(normalised)
        if action_member_of(normalised) is not None:
            raise InvalidInput(f"`{field}`: got the key {key!r}, want keys other than the interaction's own members")
    return properties
