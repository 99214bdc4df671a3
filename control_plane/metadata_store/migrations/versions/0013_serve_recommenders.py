"""Serve recommenders beside campaigns: a table of them, and deployments of either."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_CONVENTION = {"fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s"}


def upgrade() -> None:
    op.create_table(
        "recommender",
        sa.Column("arn", sa.String(length=256), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("dataset_group_arn", sa.String(length=256), nullable=False),
        sa.Column("solution_arn", sa.String(length=256), nullable=False),
        sa.Column("recipe_arn", sa.String(length=256), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("failure_reason", sa.Text(), nullable=True),
        sa.Column("serving_id", sa.String(length=32), nullable=True),
        sa.Column("deleted_revision", sa.BigInteger(), nullable=True),
        sa.Column("creation_date_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_updated_date_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("arn"),
        sa.UniqueConstraint("account", "name", name="uq_recommender_account_name"),
        sa.ForeignKeyConstraint(["dataset_group_arn"], ["dataset_group.arn"], ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(["solution_arn"], ["solution.arn"], ondelete="RESTRICT"),
    )
    op.create_index("ix_recommender_solution_arn", "recommender", ["solution_arn", "account"])
    op.create_index("ix_recommender_status", "recommender", ["status", "account"])
    page = ["account", "creation_date_time", "arn"]
    op.create_index("ix_recommender_page", "recommender", page)
    op.create_index("ix_recommender_dataset_group_page", "recommender", ["dataset_group_arn", *page])
    for table in ("solution", "solution_version"):
        op.add_column(table, sa.Column("of_recommender", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.drop_index("ix_deployment_number", "deployment")
    with op.batch_alter_table("deployment", naming_convention=_CONVENTION) as batch:
        batch.drop_constraint(_campaign_key(), type_="foreignkey")
        batch.alter_column("campaign_arn", new_column_name="target_arn", existing_type=sa.String(length=256))
        batch.add_column(sa.Column("recommender_config", sa.JSON(), nullable=True))
    op.create_index("ix_deployment_number", "deployment", ["target_arn", "number"])


def _campaign_key() -> str:
    """Return the name of the foreign key of deployments to campaigns, which databases chose themselves."""
    keys = sa.inspect(op.get_bind()).get_foreign_keys("deployment")
    found = next(key for key in keys if key["constrained_columns"] == ["campaign_arn"])
    return found["name"] or "fk_deployment_campaign_arn_campaign"


def downgrade() -> None:
    _forget_recommenders()
    op.drop_table("recommender")
    op.drop_index("ix_deployment_number", "deployment")
    with op.batch_alter_table("deployment") as batch:
        batch.drop_column("recommender_config")
        batch.alter_column("target_arn", new_column_name="campaign_arn", existing_type=sa.String(length=256))
    with op.batch_alter_table("deployment") as batch:
        batch.create_foreign_key(
            "fk_deployment_campaign_arn_campaign", "campaign", ["campaign_arn"], ["arn"], ondelete="CASCADE"
        )
    op.create_index("ix_deployment_number", "deployment", ["campaign_arn", "number"])
    for table in ("solution_version", "solution"):
        op.drop_column(table, "of_recommender")


def _forget_recommenders() -> None:
    """Remove recommenders with what they were trained to, of which an older control plane knows nothing.

    Their jobs go too, which could not be leased without resources, also after another upgrade.
    """
    recommenders = sa.select(sa.column("arn", sa.String())).select_from(sa.table("recommender"))
    solutions, versions = _of_recommenders("solution"), _of_recommenders("solution_version")
    jobs = sa.select(sa.column("id", sa.String())).select_from(sa.table("job"))
    jobs = jobs.where(sa.or_(sa.column("subject").in_(solutions), sa.column("subject").in_(versions)))
    _delete("deployment", "target_arn", recommenders)
    for arns in (recommenders, versions):
        _delete("tag", "resource_arn", arns)
    _delete("job_attempt", "job_id", jobs)
    for arns in (solutions, versions):
        _delete("job", "subject", arns)
    _delete("schedule", "solution_arn", solutions)
    op.execute("DELETE FROM recommender")
    op.execute("DELETE FROM solution_version WHERE of_recommender")
    op.execute("DELETE FROM solution WHERE of_recommender")


def _of_recommenders(table: str) -> sa.Select[str]:
    return sa.select(sa.column("arn", sa.String())).select_from(sa.table(table)).where(sa.text("of_recommender"))


def _delete(table: str, column: str, values: sa.Select[str]) -> None:
    """Remove the rows of a table whose column has one of the values."""
    op.execute(sa.delete(sa.table(table)).where(sa.column(column).in_(values)))
