"""Let resources belong to accounts, and find the pages of their lists without sorting."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

#: Tables with an account, and the column of the ARN that it is in.
_OWNED = {
    "dataset_group": "arn",
    "dataset_schema": "arn",
    "dataset": "arn",
    "dataset_import_job": "arn",
    "solution": "arn",
    "solution_version": "arn",
    "campaign": "arn",
    "event_tracker": "arn",
    "tag": "resource_arn",
}
#: Columns that were unique and are now so within an account.
_NAMES = {
    "dataset_group": "name",
    "dataset_schema": "name",
    "dataset_import_job": "job_name",
    "solution": "name",
    "campaign": "name",
}
_PAGED = [table for table in _OWNED if table != "tag"]
#: Parents whose resources are listed.
_PARENTS = {
    "dataset": "dataset_group_arn",
    "dataset_import_job": "dataset_arn",
    "solution": "dataset_group_arn",
    "solution_version": "solution_arn",
    "campaign": "solution_arn",
}
#: Other indexes: those of one column that go, and those that come in their place.
_BEFORE = [
    *((table, ["creation_date_time"]) for table in _PAGED),
    *((table, [parent]) for table, parent in _PARENTS.items()),
    ("dataset", ["schema_arn"]),
    ("solution_version", ["dataset_group_arn"]),
    *((table, ["status"]) for table in ("dataset_import_job", "solution_version", "campaign")),
    ("deployment", ["campaign_arn"]),
    ("deployment", ["solution_version_arn"]),
]
_AFTER = [
    ("ix_dataset_schema_arn", "dataset", ["schema_arn", "account"]),
    ("ix_solution_version_dataset_group_arn", "solution_version", ["dataset_group_arn", "account", "status"]),
    *(
        (f"ix_{table}_status", table, ["status", "account"])
        for table in ("dataset_import_job", "solution_version", "campaign")
    ),
    ("ix_deployment_number", "deployment", ["campaign_arn", "number"]),
    ("ix_deployment_version", "deployment", ["solution_version_arn", "creation_date_time"]),
    *((f"ix_{table}_page", table, ["account", "creation_date_time", "arn"]) for table in _PAGED),
    *(
        (f"ix_{table}_{parent.removesuffix('_arn')}_page", table, [parent, "account", "creation_date_time", "arn"])
        for table, parent in _PARENTS.items()
    ),
]
# The constraints were made without names.
_CONVENTION = {"uq": "uq_%(table_name)s_%(column_0_N_name)s"}


def upgrade() -> None:
    for table, columns in _BEFORE:
        op.drop_index(f"ix_{table}_{columns[0]}", table)
    for table, arn in _OWNED.items():
        op.add_column(table, sa.Column("account", sa.String(length=12), nullable=True))
        _fill(table, arn)
        with op.batch_alter_table(table, naming_convention=_CONVENTION) as batch:
            batch.alter_column("account", existing_type=sa.String(length=12), nullable=False)
            if table in _NAMES:
                name = _NAMES[table]
                batch.drop_constraint(f"uq_{table}_{name}", type_="unique")
                batch.create_unique_constraint(f"uq_{table}_account_{name}", ["account", name])
            if table == "event_tracker":
                batch.drop_column("account_id")
    for name, table, columns in _AFTER:
        op.create_index(name, table, columns)


def _fill(table: str, arn: str) -> None:
    """Set the account of every row from its ARN, whose fifth part it is."""
    connection = op.get_bind()
    rows = sa.table(table, sa.column(arn), sa.column("account"))
    for value in connection.scalars(sa.select(rows.c[arn]).distinct()).all():
        account = value.split(":")[4]
        connection.execute(sa.update(rows).where(rows.c[arn] == value).values(account=account))


def downgrade() -> None:
    for name, table, _ in _AFTER:
        op.drop_index(name, table)
    op.add_column("event_tracker", sa.Column("account_id", sa.String(length=12), nullable=True))
    op.execute("UPDATE event_tracker SET account_id = account")
    with op.batch_alter_table("event_tracker") as batch:
        batch.alter_column("account_id", existing_type=sa.String(length=12), nullable=False)
    for table in _OWNED:
        with op.batch_alter_table(table, naming_convention=_CONVENTION) as batch:
            if table in _NAMES:
                name = _NAMES[table]
                batch.drop_constraint(f"uq_{table}_account_{name}", type_="unique")
                batch.create_unique_constraint(f"uq_{table}_{name}", [name])
            batch.drop_column("account")
    for table, columns in _BEFORE:
        op.create_index(f"ix_{table}_{columns[0]}", table, columns)
