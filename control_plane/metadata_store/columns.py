"""Types of columns that hold more than SQL's own: protobuf messages, as JSON, and times in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message
from sqlalchemy import JSON, DateTime, Dialect, TypeDecorator

__all__ = ["MessageColumn", "UtcDateTime"]

AnyMessage = TypeVar("AnyMessage", bound=Message)


class MessageColumn(TypeDecorator[AnyMessage], Generic[AnyMessage]):
    """Messages of one class, kept as protobuf's JSON: keys are the fields' JSON names, enums the contract's names.

    A message in a row is replaced and never changed: a change in place is not noticed.

    Args:
        message_class: Class of the messages.
    """

    impl = JSON(none_as_null=True)
    cache_ok = True

    def __init__(self, message_class: type[AnyMessage]) -> None:
        super().__init__()
        self.message_class = message_class

    def process_bind_param(self, value: AnyMessage | None, dialect: Dialect) -> dict[str, Any] | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Convert to JSON."""
        return None if value is None else json_format.MessageToDict(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> AnyMessage | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Convert from JSON."""
        # A newer control plane on the same database may have written more than this one knows.
        return None if value is None else json_format.ParseDict(value, self.message_class(), ignore_unknown_fields=True)


class UtcDateTime(TypeDecorator[datetime]):
    """Times in UTC, read back with their time zone also where the database keeps none."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Convert to UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Add the time zone where the database keeps none."""
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
