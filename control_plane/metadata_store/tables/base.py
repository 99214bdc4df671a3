"""What tables have in common: how their columns and indexes are declared, and the columns of all resources."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from google.protobuf.message import Message
from sqlalchemy import JSON, Boolean, Column, Index, Text, false
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlmodel import Field, SQLModel

from common.arn import Arn
from control_plane.domain.states import Status
from control_plane.metadata_store.columns import MessageColumn, UtcDateTime

__all__ = [
    "AnyResource",
    "JobResource",
    "Owned",
    "account_column",
    "flag_column",
    "json_column",
    "list_indexes",
    "message_column",
    "moment_column",
    "parent_column",
    "text_column",
]

# Migrations drop constraints by their names, which databases would otherwise choose differently.
SQLModel.metadata.naming_convention = {"ix": "ix_%(column_0_label)s", "uq": "uq_%(table_name)s_%(column_0_N_name)s"}


def account_column(column: str) -> Any:
    """Declare the account, which a new row gets from the ARN in another column."""

    def account(context: DefaultExecutionContext) -> str:
        parameters = context.current_parameters
        assert parameters is not None, "an insertion has some"
        return Arn.parse(parameters[column], field=column).account

    return Field(max_length=12, sa_column_kwargs={"default": account})


def parent_column(target: str, *, cascade: bool = False) -> Any:
    """Declare the ARN of a parent; every table lists it first in one of its indexes."""
    return Field(foreign_key=target, ondelete="CASCADE" if cascade else "RESTRICT", max_length=256)


def moment_column(*, nullable: bool = False, index: bool = False) -> Any:
    """Declare a time."""
    default: Any = None if nullable else ...
    return Field(default=default, sa_type=UtcDateTime, index=index)


def json_column(*, nullable: bool = False) -> Any:
    """Declare plain data that is kept as JSON."""
    default: Any = None if nullable else ...
    return Field(default=default, sa_column=Column(JSON(none_as_null=True), nullable=nullable))


def message_column(message_class: type[Message]) -> Any:
    """Declare a message of the contracts, or None."""
    return Field(default=None, sa_column=Column(MessageColumn(message_class), nullable=True))


def flag_column() -> Any:
    """Declare a flag that earlier rows do not have."""
    return Field(default=False, sa_column=Column(Boolean(), nullable=False, server_default=false()))


def text_column(*, nullable: bool = False) -> Any:
    """Declare a text of any length."""
    default: Any = None if nullable else ...
    return Field(default=default, sa_type=Text)


def list_indexes(table: str, *parents: str) -> tuple[Index, ...]:
    """Return the indexes that pages of an account are read from in order: of all resources, and of one parent's."""
    order = ("account", "creation_date_time", "arn")
    return (
        Index(f"ix_{table}_page", *order),
        *(Index(f"ix_{table}_{parent.removesuffix('_arn')}_page", parent, *order) for parent in parents),
    )


class Owned(SQLModel):
    """The column that all rows of accounts have.

    Attributes:
        account: The account in the row's ARN, which need not be given.
    """

    account: str


class AnyResource(Owned):
    """The columns that all resources have."""

    # Columns may hold protobuf messages.
    model_config = {"arbitrary_types_allowed": True}

    arn: str = Field(primary_key=True, max_length=256)
    account: str = account_column("arn")
    creation_date_time: datetime = moment_column()
    last_updated_date_time: datetime = moment_column()


class JobResource(AnyResource):
    """The columns of resources that stand for a job of the queue, and that their creators give a name."""

    job_name: str = Field(max_length=63)
    role_arn: str | None = Field(default=None, max_length=256)
    status: str = Field(default=Status.CREATE_PENDING, max_length=32)
    failure_reason: str | None = text_column(nullable=True)
