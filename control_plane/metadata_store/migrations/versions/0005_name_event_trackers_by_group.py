"""Let event trackers of several dataset groups have one name."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# The constraint was made without a name.
_NAMES = {"uq": "uq_%(table_name)s_%(column_0_name)s"}


def upgrade() -> None:
    with op.batch_alter_table("event_tracker", naming_convention=_NAMES) as table:
        table.drop_constraint("uq_event_tracker_name", type_="unique")


def downgrade() -> None:
    with op.batch_alter_table("event_tracker", naming_convention=_NAMES) as table:
        table.create_unique_constraint("uq_event_tracker_name", ["name"])
