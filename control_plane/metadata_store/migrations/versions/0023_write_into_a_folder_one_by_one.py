"""Let jobs that write into the same folder run one after the other."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job", sa.Column("output_folder", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("job", "output_folder")
