"""Runs migrations on the connection that `control_plane.metadata_store.sql` hands over."""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

import control_plane.metadata_store.tables  # noqa: F401 - registers the tables

connection = context.config.attributes["connection"]
# SQLite changes tables by copying them, which batch mode does.
context.configure(connection=connection, target_metadata=SQLModel.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
