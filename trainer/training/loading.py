"""Tables of a snapshot to arrays: which interactions count, of whom, and in which order.

Everything here is decided by the rows alone, never by the order in which the store yields them, so that one snapshot
always gives the same model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from common import columns
from common.arrow_schema import interactions_frame_schema
from common.avro import AvroField, AvroSchema
from common.errors import InvalidInput, invalid
from common.features import FeatureSnapshot
from common.features.publishing import open_or_make_snapshot
from common.filters import Dataset
from common.storage import Store
from common.tables import Table
from common.vocabulary import Vocabulary
from recipes.catalog import get_recipe
from recipes.data.columns import Columns
from recipes.data.histories import EventTypes, FloatArray
from recipes.data.training_data import Interactions, TrainingData
from recipes.spec import RecipeSpec
from trainer.domain.configuration import EventParameters
from trainer.domain.data_requirements import (
    check_event_types,
    check_sufficient,
    describe_filters,
    near_spellings_warning,
)
from trainer.training.coded_rows import by_users, read_coded
from trainer.training.context_features import context_fields, read_context
from trainer.training.metadata import MetadataTable, places
from trainer.training.past_events import CollectedEvents, collect_events
from trainer.training.spec import TableVersion, TrainingSpec

__all__ = [
    "LoadedData",
    "count_shown",
    "load",
    "number_event_types",
    "open_features",
    "select_interactions",
    "with_users",
]

#: Types of events that models distinguish, so that their numbers and 0 fit into a byte.
_MAX_EVENT_TYPES = 254
#: Lists of what was shown that are taken apart at once: one may name dozens of items.
_IMPRESSIONS_AT_ONCE = 1 << 18
#: Schema of an Interactions dataset that is missing, for recipes that do without one.
_NO_INTERACTIONS = AvroSchema(
    "Interactions",
    (AvroField(columns.USER_ID, "string"), AvroField(columns.ITEM_ID, "string"), AvroField(columns.TIMESTAMP, "long")),
)


@dataclass(frozen=True, slots=True)
class LoadedData:
    """The snapshot of a training as arrays.

    Attributes:
        data: Interactions and columns, by indexes of users and items.
        items: Ids of the items, those without interactions included.
        users: Ids of the users with interactions, and of those whose columns are learnt from.
        shown: int64 [n_items], how often each item was in the IMPRESSION of an interaction of whatever type.
        rewards: float64 [n_items], the column of the solution's objective, NaN where there is no value; None without an
            objective.
        past: What filters know of the interactions, of whatever type.
        warnings: Sentences on what is wrong with the data, for the owner of the solution.
    """

    data: TrainingData
    items: Vocabulary
    users: Vocabulary
    shown: NDArray[np.int64]
    rewards: NDArray[np.float64] | None
    past: CollectedEvents
    warnings: tuple[str, ...] = ()


def load(store: Store, spec: TrainingSpec, *, folder: Path, event_types: Sequence[str] | None = None) -> LoadedData:
    """Read the snapshot of a training.

    Args:
        store: The shared store.
        spec: Names the snapshot.
        folder: Existing, for files of features that stay as long as the training.
        event_types: What numbers stand for; None numbers the types anew.

    Raises:
        InvalidInput: After the filters there is too little to learn from.
        ResourceNotFound: A table has been deleted meanwhile.
        Unavailable: The store cannot be reached.
    """
    recipe = get_recipe(spec.recipe)
    if "ITEMS" in recipe.required_datasets and spec.table("ITEMS") is None:
        raise InvalidInput(f"Create failed. {recipe.name} needs items: import an Items dataset.")
    # First of all: snapshots of features do not stay for long, but whoever has opened one keeps it.
    item_features = _metadata(store, spec, "ITEMS", folder=folder)
    user_features = _metadata(store, spec, "USERS", folder=folder) if "users" in recipe.side_data else None
    table = spec.table("INTERACTIONS")
    schema = _NO_INTERACTIONS if table is None else AvroSchema.parse(table.avro_schema)
    stored = pl.DataFrame(schema=interactions_frame_schema(schema)) if table is None else _read(store, table, schema)
    context_columns = _context_fields(schema, spec, recipe)
    left_out = _left_out(stored, spec)
    rows = _chosen(stored, schema, spec, recipe, left_out=left_out, extra=[field.name for field in context_columns])
    listed = [item_features.ids] if item_features is not None else []
    items = pl.concat([_different(rows[columns.ITEM_ID]), *listed]).drop_nulls().unique().sort()
    described = [user_features.described()] if user_features is not None else []
    users = pl.concat([_different(rows[columns.USER_ID]), *described]).unique().sort()
    event_types, numbers = number_event_types(rows[columns.EVENT_TYPE], numbered=event_types)
    owners, times = _indexes(rows[columns.USER_ID], users), rows[columns.TIMESTAMP].to_numpy()
    interactions = Interactions.sort(
        owners,
        item=_indexes(rows[columns.ITEM_ID], items),
        timestamp=times,
        event_type=numbers,
        streamed=rows[columns.LOG_OFFSET].is_not_null().to_numpy(),
    )
    context = None
    if context_columns:
        context = read_context(rows, context_columns, order=np.lexsort((times, owners)))
    data = TrainingData(
        interactions,
        n_users=len(users),
        n_items=len(items),
        event_types=event_types,
        items=Columns() if item_features is None else item_features.columns(items),
        users=Columns() if user_features is None else user_features.columns(users),
        event_weights=_event_weights(spec.configuration.events, event_types),
        context=context,
    )
    return LoadedData(
        data,
        items=Vocabulary.build(items.to_list()),
        users=Vocabulary.build(users.to_list()),
        shown=count_shown(stored, items),
        rewards=_rewards(spec, item_features, items),
        past=collect_events(with_users(stored), dataset=Dataset.INTERACTIONS),
        warnings=(left_out,) if left_out else (),
    )


def _context_fields(schema: AvroSchema, spec: TrainingSpec, recipe: RecipeSpec) -> list[AvroField]:
    """Return the columns that are context, where the recipe and the solution let them be learnt from."""
    if "context" not in recipe.side_data:
        return []
    return [field for field in context_fields(schema) if spec.configuration.learns_from("INTERACTIONS", field.name)]


def _chosen(
    stored: pl.DataFrame,
    schema: AvroSchema,
    spec: TrainingSpec,
    recipe: RecipeSpec,
    *,
    left_out: str,
    extra: Sequence[str],
) -> pl.DataFrame:
    """Return the interactions that count, by the solution and by the recipe; too few are refused."""
    if recipe.event_type is None:
        _check_event_types(stored, spec)
    rows = select_interactions(
        stored,
        schema,
        event_type=spec.event_type,
        threshold=spec.configuration.event_value_threshold,
        events=spec.configuration.events,
        extra=extra,
    )
    if recipe.event_type is not None:
        kind = pl.col(columns.EVENT_TYPE).cast(pl.String).str.to_lowercase()
        rows = rows.filter(kind == recipe.event_type.lower())
    if "INTERACTIONS" in recipe.required_datasets:
        _check_sufficient(rows, spec, recipe, left_out=left_out)
    return rows


def number_event_types(
    values: pl.Series, *, numbered: Sequence[str] | None = None
) -> tuple[tuple[str, ...], EventTypes]:
    """Number the types of events, the most frequent first, equally frequent ones by name.

    Args:
        values: The type of each interaction; null where there is none.
        numbered: The types in the order of their numbers, where they have some already.

    Returns:
        The types, at most 254, and the number of each interaction's type, counted from 1: uint8 [n], 0 for null and for
        types beyond those.
    """
    counts = values.drop_nulls().rename("type").value_counts(name="uses")
    kept = counts.sort("uses", "type", descending=[True, False]).head(_MAX_EVENT_TYPES)["type"].cast(pl.String)
    if numbered is not None:
        kept = pl.Series("type", numbered, pl.String)
    return tuple(kept.to_list()), (places(values, kept).fill_null(-1) + 1).to_numpy().astype(np.uint8)


def select_interactions(
    rows: pl.DataFrame,
    schema: AvroSchema,
    *,
    event_type: str | None,
    threshold: float | None,
    events: Sequence[EventParameters] = (),
    extra: Sequence[str] = (),
) -> pl.DataFrame:
    """Choose what counts.

    Events of a session without a user are given to the user of the session, if any of its events names one. Events that
    were sent twice, and interactions that agree in everything, count once.

    Args:
        rows: Rows of the Interactions table, internal columns included.
        schema: The schema of the Interactions dataset.
        event_type: The only type that counts.
        threshold: Least event value that counts; rows without a value do not.
        events: Settings by type; the only types that count where there are any.
        extra: Further columns to return.

    Returns:
        USER_ID, ITEM_ID, TIMESTAMP, EVENT_TYPE, LOG_OFFSET and the further ones, those of a user by time, in an order
        that depends on nothing but the rows.
    """
    if columns.EVENT_TYPE not in rows.columns:
        rows = rows.with_columns(pl.lit(None, pl.String).alias(columns.EVENT_TYPE))
    if columns.LOG_OFFSET not in rows.columns:
        rows = rows.with_columns(pl.lit(None, pl.Int64).alias(columns.LOG_OFFSET))
    chosen = with_users(rows).filter(pl.col(columns.USER_ID).is_not_null() & pl.col(columns.ITEM_ID).is_not_null())
    if event_type is not None:
        chosen = chosen.filter(pl.col(columns.EVENT_TYPE) == event_type)
    if threshold is not None:
        chosen = chosen.filter(pl.col(columns.EVENT_VALUE) >= threshold)
    if events:
        chosen = chosen.filter(pl.any_horizontal(*(_counts_as(item) for item in events)))
    schema_columns = [field.name for field in schema.fields if field.name in rows.columns]
    if columns.EVENT_ID in chosen.columns:
        sent = pl.col(columns.EVENT_ID)
        ordered = chosen.sort(columns.LOG_OFFSET, *schema_columns, nulls_last=False)
        chosen = ordered.filter(sent.is_null() | sent.is_first_distinct())
    kept = [columns.USER_ID, columns.ITEM_ID, columns.TIMESTAMP, columns.EVENT_TYPE, columns.LOG_OFFSET, *extra]
    return pl.concat([_counted_once(part, schema_columns).select(kept) for part in by_users(chosen)])


def _counted_once(rows: pl.DataFrame, schema_columns: Sequence[str]) -> pl.DataFrame:
    """Return the first of all rows that agree in everything, by time."""
    ordered = rows.sort(columns.LOG_OFFSET, *schema_columns, nulls_last=False)
    counted = ordered.unique(schema_columns, keep="first", maintain_order=True)
    # What happened in one second has no order of its own. Offsets give streamed events one; all others are shuffled by
    # a hash, because any order of the ids would be a pattern that models learn and evaluations reward.
    texts = [pl.col(name).cast(pl.String) for name in (columns.USER_ID, columns.ITEM_ID, columns.EVENT_TYPE)]
    return counted.sort(columns.TIMESTAMP, columns.LOG_OFFSET, pl.struct(texts).hash(seed=1), nulls_last=False)


def count_shown(rows: pl.DataFrame, items: pl.Series) -> NDArray[np.int64]:
    """Count how often each item was shown, whatever became of it.

    Args:
        rows: Rows of the Interactions table.
        items: Ids of the catalogue; others are left out.

    Returns:
        int64 [n_items].
    """
    counts = np.zeros(len(items), np.int64)
    if columns.IMPRESSION not in rows.columns:
        return counts
    for part in rows.select(columns.IMPRESSION).iter_slices(_IMPRESSIONS_AT_ONCE):
        listed = part.to_series().drop_nulls().str.split("|").explode()
        counts += np.bincount(places(listed, items).drop_nulls().to_numpy(), minlength=len(items))
    return counts


def _rewards(spec: TrainingSpec, item_features: MetadataTable | None, items: pl.Series) -> NDArray[np.float64] | None:
    objective = spec.configuration.objective
    if objective is None:
        return None
    if item_features is None:
        raise invalid(
            "solutionConfig.optimizationObjective.itemAttribute", got=objective.attribute, want="imported items"
        )
    return item_features.numbers(objective.attribute, item_features.rows(items))


def _counts_as(settings: EventParameters) -> pl.Expr:
    right = pl.col(columns.EVENT_TYPE) == settings.event_type
    return right if settings.threshold is None else right & (pl.col(columns.EVENT_VALUE) >= settings.threshold)


def _event_weights(events: Sequence[EventParameters], event_types: Sequence[str]) -> FloatArray | None:
    """Return the weight of each number of an event type, scaled so that those configured have a mean of 1."""
    if not events:
        return None
    mean = sum(item.weight for item in events) / len(events)
    weights = {item.event_type: item.weight / mean for item in events}
    return np.array([1.0, *(weights[name] for name in event_types)], np.float32)


def _check_event_types(rows: pl.DataFrame, spec: TrainingSpec) -> None:
    if len(rows) and columns.EVENT_TYPE in rows.columns:
        check_event_types(number_event_types(rows[columns.EVENT_TYPE])[0], chosen=_chosen_types(spec))


def _left_out(rows: pl.DataFrame, spec: TrainingSpec) -> str:
    """Name the types that the solution's filters leave out for their spelling alone; empty where there are none."""
    if columns.EVENT_TYPE not in rows.columns:
        return ""
    counts = rows[columns.EVENT_TYPE].drop_nulls().rename("type").value_counts(name="uses")
    return near_spellings_warning(dict(counts.iter_rows()), chosen=_chosen_types(spec))


def _chosen_types(spec: TrainingSpec) -> list[str]:
    return [item.event_type for item in spec.configuration.events] or ([spec.event_type] if spec.event_type else [])


def with_users(rows: pl.DataFrame) -> pl.DataFrame:
    """Fill in the users of sessions; a session that several users shared belongs to its last one.

    Args:
        rows: Of a table of interactions or action interactions, internal columns included.
    """
    if columns.SESSION_ID not in rows.columns or not rows[columns.USER_ID].null_count():
        return rows
    user, session = pl.col(columns.USER_ID), pl.col(columns.SESSION_ID)
    owners = (
        rows.filter(user.is_not_null() & session.is_not_null())
        .sort(columns.LOG_OFFSET, columns.USER_ID, nulls_last=False)
        .unique(columns.SESSION_ID, keep="last", maintain_order=True)
        .select(session, user.alias("_OWNER"))
    )
    joined = rows.join(owners, on=columns.SESSION_ID, how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce(user, pl.col("_OWNER")).alias(columns.USER_ID)).drop("_OWNER")


def _check_sufficient(rows: pl.DataFrame, spec: TrainingSpec, recipe: RecipeSpec, *, left_out: str) -> None:
    per_user = rows.group_by(columns.USER_ID).len()["len"]
    filters = describe_filters(
        event_type=spec.event_type or recipe.event_type,
        threshold=spec.configuration.event_value_threshold,
        events=spec.configuration.events,
    )
    check_sufficient(
        interactions=len(rows),
        users=len(per_user),
        users_with_two=int((per_user >= 2).sum()),
        filters=filters,
        left_out=left_out,
    )


def _metadata(store: Store, spec: TrainingSpec, dataset_type: str, *, folder: Path) -> MetadataTable | None:
    """Return the metadata of items or users, None without any."""
    table = spec.table(dataset_type)
    if table is None:
        return None
    snapshot = open_features(store, table, folder=folder)
    return MetadataTable.of(snapshot, learns_from=lambda column: spec.configuration.learns_from(dataset_type, column))


def open_features(store: Store, table: TableVersion, *, folder: Path) -> FeatureSnapshot:
    """Return the features of a table of a training.

    Args:
        store: The shared store.
        table: Of items, users or actions.
        folder: Existing, for files, each table's in a folder of its own.

    Raises:
        CorruptArtifact: A file of the table or of its features is damaged or missing.
        ResourceNotFound: The table has been deleted meanwhile.
        Unavailable: The store cannot be reached.
    """
    own_folder = folder / f"features-{table.dataset_type.lower()}"
    own_folder.mkdir()
    return open_or_make_snapshot(
        store,
        table.location,
        table.avro_schema,
        dataset_type=table.dataset_type,
        version=table.version,
        folder=own_folder,
    )


def _read(store: Store, table: TableVersion, schema: AvroSchema) -> pl.DataFrame:
    return read_coded(Table(store, table.location), schema, version=table.version)


def _different(ids: pl.Series) -> pl.Series:
    return ids.unique().cast(pl.String)


def _indexes(values: pl.Series, ids: pl.Series) -> NDArray[np.int64]:
    """Return the place of each value among ids that contain it."""
    return places(values, ids).to_numpy()
