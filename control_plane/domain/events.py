"""Which events a solution is trained on: its event type, its threshold, and the settings for single event types.

The same rules decide which streamed events belong to a user's history when a version of the solution is served.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from common.avro import AvroSchema
from common.columns import EVENT_TYPE, EVENT_VALUE
from common.errors import invalid
from protos.tailorbird.control.v1.solution_config_pb2 import EventParameters, SolutionConfig

__all__ = [
    "EventRule",
    "check_event_columns",
    "check_event_parameters",
    "check_event_type",
    "check_events",
    "event_rules",
]

_MAX_EVENT_TYPE: Final = 256
_MAX_THRESHOLD: Final = 256
_MAX_TYPES: Final = 10
_LIST: Final = "solutionConfig.eventsConfig.eventParametersList"


@dataclass(frozen=True, slots=True)
class EventRule:
    """A rule that accepts events.

    Attributes:
        event_type: Event type of accepted events; None for any.
        least_value: Least value of accepted events, which excludes events without a value; None for any or none.
    """

    event_type: str | None
    least_value: float | None


def check_event_type(value: str | None) -> str | None:
    """Return the event type to train on, None for all.

    Raises:
        InvalidInput: It is too long, or empty.
    """
    if value is not None and not 1 <= len(value) <= _MAX_EVENT_TYPE:
        raise invalid("eventType", got=value, want=f"1 to {_MAX_EVENT_TYPE} characters, or none for all types")
    return value


def check_events(config: SolutionConfig, *, event_type: str | None, weighs_events: bool, recipe: str) -> None:
    """Check `eventValueThreshold` and `eventsConfig` of a solution's configuration.

    Args:
        config: The configuration.
        event_type: Event type of the solution; None for all.
        weighs_events: Whether the recipe supports settings for single event types.
        recipe: Name of the recipe.

    Raises:
        InvalidInput: One of them is malformed, or does not fit the recipe or the other settings.
    """
    threshold = config.event_value_threshold if config.HasField("event_value_threshold") else None
    if threshold is not None and _parse_threshold(threshold) is None:
        want = f"a number as text, at most {_MAX_THRESHOLD} characters"
        raise invalid("solutionConfig.eventValueThreshold", got=threshold, want=want)
    if not config.HasField("events_config"):
        return
    entries = config.events_config.event_parameters_list
    if not weighs_events:
        want = f"none: {recipe} learns from all events alike; recipes of version 2 take settings of single types"
        raise invalid("solutionConfig.eventsConfig", got=f"settings of {len(entries)} types", want=want)
    for name, value in (("eventType", event_type), ("solutionConfig.eventValueThreshold", threshold)):
        if value is not None:
            want = "none beside eventsConfig, which has a type and a threshold for each of its entries"
            raise invalid(name, got=value, want=want)
    check_event_parameters(entries, field=_LIST)


def event_rules(config: SolutionConfig) -> tuple[EventRule, ...]:
    """Return the rules of a checked configuration, which hold beside the solution's event type.

    An event is accepted if one of the rules accepts it, or if there are no rules.
    """
    if config.HasField("event_value_threshold"):
        return (EventRule(None, float(config.event_value_threshold)),)
    return tuple(
        EventRule(entry.event_type, entry.event_value_threshold if entry.HasField("event_value_threshold") else None)
        for entry in config.events_config.event_parameters_list
    )


def check_event_columns(event_type: str | None, config: SolutionConfig, *, schema: str) -> None:
    """Check that the Interactions dataset has the columns that the event type and the rules need.

    Args:
        event_type: Event type of the solution; None for all.
        config: `solutionConfig`, already checked.
        schema: Avro schema of the Interactions dataset, as JSON.

    Raises:
        InvalidInput: A column is missing.
    """
    columns, rules = AvroSchema.parse(schema), event_rules(config)
    typed = _LIST if any(rule.event_type is not None for rule in rules) else "eventType"
    valued = "solutionConfig.eventValueThreshold" if config.HasField("event_value_threshold") else _LIST
    types = [rule.event_type for rule in rules if rule.event_type is not None] or event_type
    values = [rule.least_value for rule in rules if rule.least_value is not None]
    for field, got, column in ((typed, types, EVENT_TYPE), (valued, values, EVENT_VALUE)):
        if got and columns.field(column) is None:
            raise invalid(field, got=got, want=f"none: the schema of the Interactions dataset has no {column}")


def check_event_parameters(entries: Sequence[EventParameters], *, field: str) -> None:
    """Check the settings of single event types.

    Args:
        entries: `eventParametersList`.
        field: Where it stands in the request.

    Raises:
        InvalidInput: There are none or too many, a type comes twice, or a value is out of range.
    """
    if not 1 <= len(entries) <= _MAX_TYPES:
        raise invalid(field, got=f"{len(entries)} entries", want=f"1 to {_MAX_TYPES}")
    names = [entry.event_type for entry in entries]
    weights = [entry.weight if entry.HasField("weight") else 1.0 for entry in entries]
    for place, (name, weight, entry) in enumerate(zip(names, weights, entries, strict=True)):
        if not 1 <= len(name) <= _MAX_EVENT_TYPE:
            raise invalid(f"{field}[{place}].eventType", got=name, want=f"1 to {_MAX_EVENT_TYPE} characters")
        if name in names[:place]:
            raise invalid(f"{field}[{place}].eventType", got=name, want="every type once")
        if not math.isfinite(entry.event_value_threshold):
            raise invalid(f"{field}[{place}].eventValueThreshold", got=entry.event_value_threshold, want="a number")
        if not 0.0 <= weight <= 1.0:
            raise invalid(f"{field}[{place}].weight", got=weight, want="a number from 0 to 1")
    if not any(weights):
        raise invalid(f"{field}.weight", got="0 for every type", want="at least one above 0")


def _parse_threshold(text: str) -> float | None:
    try:
        number = float(text) if len(text) <= _MAX_THRESHOLD else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None
