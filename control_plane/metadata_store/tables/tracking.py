"""The tables of event trackers and of the events services that take their events."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Column, ForeignKey, String
from sqlmodel import Field, SQLModel

from control_plane.domain.states import Status
from control_plane.metadata_store.tables.base import AnyResource, list_indexes, moment_column

__all__ = ["EventTracker", "EventsService"]


class EventTracker(AnyResource, table=True):
    """An event tracker: the tracking id that events of a dataset group are sent with.

    Attributes:
        deleted_revision: Serving revision from which on events services take no events with its tracking id; None
            before DeleteEventTracker.
    """

    __tablename__ = "event_tracker"
    __table_args__ = list_indexes("event_tracker")

    name: str = Field(max_length=63)
    dataset_group_arn: str = Field(
        sa_column=Column(String(256), ForeignKey("dataset_group.arn", ondelete="RESTRICT"), unique=True, nullable=False)
    )
    tracking_id: str = Field(max_length=36, unique=True)
    status: str = Field(default=Status.ACTIVE, max_length=32)
    deleted_revision: int | None = Field(default=None, sa_type=BigInteger)


class EventsService(SQLModel, table=True):
    """An events service that has called.

    Attributes:
        in_use_revision: Revision of the oldest set of trackers that its running calls use; None before it had one.
    """

    __tablename__ = "events_service"

    service_id: str = Field(primary_key=True, max_length=256)
    last_seen_at: datetime = moment_column(index=True)
    in_use_revision: int | None = Field(default=None, sa_type=BigInteger)
