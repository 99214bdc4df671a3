"""One training of Next-Best-Action: actions and what was done with them, beside the interactions with items."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import polars as pl
from google.protobuf import json_format
from numpy.typing import NDArray

from common import columns
from common.artifacts import Artifact
from common.errors import InvalidInput
from common.storage import Store
from common.tables import Table
from common.vocabulary import Vocabulary
from protos.tailorbird.storage.v1 import evaluation_pb2
from recipes.catalog import get_recipe
from recipes.data.columns import NO_TIME
from recipes.data.training_data import Interactions
from recipes.evaluation.metrics import published
from recipes.evaluation.paired_tests import Pair
from recipes.models.action_propensity.data import ActionData, ActionEvents, Actions
from recipes.models.action_propensity.evaluation import ActionMetrics, evaluate
from recipes.models.action_propensity.evaluation import compare as compare_propensities
from recipes.models.action_propensity.samples import Samples
from recipes.models.action_propensity.score import ActionPropensityScorer
from recipes.ports import FitProgress, ItemScorer
from recipes.registry import make_fitter, read_config
from trainer.training.artifact_writer import pack
from trainer.training.challenge import compare
from trainer.training.champion import predecessor_propensities
from trainer.training.loading import LoadedData
from trainer.training.offline_evaluation import evaluation_of
from trainer.training.progress import EXTEND, FIT, Stages, SubProgress
from trainer.training.spec import ARTIFACT, MEASURED_MODEL, PREDECESSOR, TrainingResult, TrainingSpec

__all__ = ["LoadedActions", "load_actions", "train_actions"]

_ACTION_ID: Final = "ACTION_ID"
_TAKEN: Final = "TAKEN"
_KNOWN: Final = (_TAKEN, "NOT_TAKEN", "VIEWED")
#: Share of the users with action interactions who are not learnt from, but measured with.
_TESTED: Final = 0.1


@dataclass(frozen=True, slots=True)
class LoadedActions:
    """What is learnt from.

    Attributes:
        data: By indexes.
        loaded: Its item interactions, with the users of both kinds of interactions.
        actions: Ids of the actions.
    """

    data: ActionData
    loaded: LoadedData
    actions: Vocabulary


def load_actions(store: Store, order: TrainingSpec, loaded: LoadedData) -> LoadedActions:
    """Read actions and action interactions.

    Args:
        store: The shared store.
        order: Names the tables.
        loaded: The interactions with items, already read.

    Raises:
        InvalidInput: One of the two has no data.
        ResourceNotFound: A table has been deleted meanwhile.
        Unavailable: The store cannot be reached.
    """
    listed, done = _read(store, order, "ACTIONS"), _read(store, order, "ACTION_INTERACTIONS")
    # The documentation writes `Not taken` and NOT_TAKEN.
    kind = pl.col(columns.EVENT_TYPE).str.to_uppercase().str.replace_all(" ", "_")
    done = done.with_columns(kind).filter(
        pl.col(columns.USER_ID).is_not_null() & pl.col(columns.EVENT_TYPE).is_in(_KNOWN)
    )
    done = done.sort(columns.TIMESTAMP, columns.USER_ID, _ACTION_ID, columns.EVENT_TYPE)
    actions = pl.concat([listed[_ACTION_ID], done[_ACTION_ID]]).unique().sort()
    known = pl.Series(loaded.users.ids(range(len(loaded.users))), dtype=pl.String)
    users = pl.concat([known, done[columns.USER_ID]]).unique().sort()
    vocabulary = Vocabulary.build(users.to_list())
    whole = _with_users(loaded, vocabulary)
    ids = Vocabulary.build(actions.to_list())
    events = ActionEvents.sort(
        vocabulary.indexes(done[columns.USER_ID].to_list()),
        action=ids.indexes(done[_ACTION_ID].to_list()),
        taken=(done[columns.EVENT_TYPE] == _TAKEN).to_numpy(),
        timestamp=done[columns.TIMESTAMP].to_numpy(),
    )
    return LoadedActions(ActionData(whole.data, _rules(listed, ids), events), whole, ids)


def train_actions(
    order: TrainingSpec, loaded: LoadedData, folder: Path, *, store: Store, stages: Stages, progress: FitProgress
) -> TrainingResult:
    """Fit, measure, fit on, and write the artifact's files.

    Args:
        order: What to do.
        loaded: The interactions with items.
        folder: Of the training.
        store: Has the other tables, and the predecessor.
        stages: Has timed the loading.
        progress: Hears how it goes on.

    Raises:
        InvalidInput: There are no actions, or nothing was done with them.
        ResourceNotFound: A table has been deleted meanwhile.
        Unavailable: The store cannot be reached.
    """
    part, declared = SubProgress(progress), get_recipe(order.recipe)
    config = read_config(declared, order.hyperparameters)
    with stages.stage("load_actions"):
        read = load_actions(store, order, loaded)
    # The registry names fitters by one type; this recipe's learns from more.
    model: Any = make_fitter(declared, order.hyperparameters, seed=order.seed, progress=part)
    tested = _test_users(read)
    progress(fraction=FIT[0], stage="fitting", metrics={})
    with stages.stage("fit"):
        fitted: ActionPropensityScorer = model.fit(read.data.of_users(~tested))
    progress(fraction=FIT[1], stage="evaluating", metrics=model.report)
    with stages.stage("evaluate"):
        measured, baselines, told = _evaluate(model, fitted, read, tested, order=order, store=store, folder=folder)
        if tested.any():
            _save(fitted, read, folder / MEASURED_MODEL)
    part.span = EXTEND
    progress(fraction=EXTEND[0], stage="learning from everybody", metrics={})
    with stages.stage("extend"):
        scorer: ActionPropensityScorer = model.extend(read.data)
    progress(fraction=EXTEND[1], stage="packing", metrics={})
    with stages.stage("pack"):
        artifact = folder / ARTIFACT
        artifact.mkdir()
        pack(cast("ItemScorer", scorer), declared, read.loaded, artifact)
        read.actions.save(artifact, "actions")
    return TrainingResult(
        recipe_config_json=config.model_dump_json(),
        n_items=read.data.items.n_items,
        n_users=read.data.items.n_users,
        event_types=read.data.items.event_types,
        dimensions=scorer.item_vectors.shape[1],
        metrics=published(measured.named()),
        baselines={name: published(of.named()) for name, of in baselines.items()},
        evaluation=json_format.MessageToDict(told, preserving_proto_field_name=True),
        highest_test_key=int(read.loaded.users.keys()[tested].max()) if tested.any() else None,
        chosen_index="exact",
        measurements=(),
        stage_seconds=stages.seconds,
    )


def _test_users(read: LoadedActions) -> NDArray[np.bool_]:
    """Choose a tenth of the users with action interactions by the hashes of their ids: bool [n_users]."""
    active = np.unique(read.data.events.user)
    keys = read.loaded.users.keys()[active]
    chosen = active[np.argsort(keys, kind="stable")[: max(1, round(_TESTED * len(active)))]]
    tested = np.zeros(read.data.items.n_users, bool)
    tested[chosen] = len(active) > 1
    return tested


def _evaluate(
    model: Any,
    fitted: ActionPropensityScorer,
    read: LoadedActions,
    tested: NDArray[np.bool_],
    *,
    order: TrainingSpec,
    store: Store,
    folder: Path,
) -> tuple[ActionMetrics, dict[str, ActionMetrics], evaluation_pb2.Evaluation]:
    """Measure the model, the base rates as propensities for everybody, and the model beside its predecessor."""
    samples = model.samples(read.data)
    of_tested = tested[samples.user]
    asked, shares = samples.where(of_tested), fitted.shares(samples.rows[of_tested], samples.action[of_tested])
    measured = evaluate(shares, asked, trained=fitted.trained)
    rates = _base_rates(samples.where(~of_tested), n_actions=len(read.actions))
    baselines = {"base-rates": evaluate(rates[asked.action], asked, trained=fitted.trained)}

    def beside(before: Artifact) -> Pair:
        theirs, learnt = predecessor_propensities(
            before, read.data, actions=read.actions, loaded=read.loaded, period_days=model.period_days
        )
        fair = read.loaded.users.keys()[asked.user] <= np.uint64(before.manifest.highest_test_key)
        return compare_propensities(
            shares[fair], theirs[of_tested][fair], asked.where(fair), trained=fitted.trained | learnt
        )

    compared = compare(store, order.predecessor, beside, cache=folder / PREDECESSOR, seed=order.seed)
    told = evaluation_of(measured, baselines, test_users=int(tested.sum()), comparison=compared, seed=order.seed)
    told.warnings.extend(read.loaded.warnings)
    return measured, baselines, told


def _base_rates(known: Samples, *, n_actions: int) -> NDArray[np.float64]:
    """Return the share of takers of each action, as a propensity for everybody: float64 [n_actions]."""
    times, takes = (np.bincount(of, minlength=n_actions) for of in (known.action, known.action[known.taken]))
    rates: NDArray[np.float64] = takes / np.maximum(times, 1)
    return rates


def _save(fitted: ActionPropensityScorer, read: LoadedActions, folder: Path) -> None:
    """Write the model as it was measured."""
    folder.mkdir()
    fitted.save(folder)
    read.actions.save(folder, "actions")
    read.loaded.items.save(folder, "items")
    read.loaded.users.save(folder, "users")


def _read(store: Store, order: TrainingSpec, dataset_type: str) -> pl.DataFrame:
    table = order.table(dataset_type)
    if table is None:
        raise InvalidInput(f"Create failed. {order.recipe} needs {dataset_type.title()}: import such a dataset.")
    return Table(store, table.location).read(version=table.version)


def _with_users(loaded: LoadedData, users: Vocabulary) -> LoadedData:
    """Return the same interactions and columns with users added who have none."""
    old = users.indexes(loaded.users.ids(range(len(loaded.users))))
    rows = loaded.data.interactions
    moved = Interactions.sort(
        old[rows.user], item=rows.item, timestamp=rows.timestamp, event_type=rows.event_type, streamed=rows.streamed
    )
    told = loaded.data.users.moved(old, n_rows=len(users))
    return replace(loaded, users=users, data=replace(loaded.data, interactions=moved, n_users=len(users), users=told))


def _rules(listed: pl.DataFrame, actions: Vocabulary) -> Actions:
    """Return the rules of the actions; those that are in no Actions dataset have none."""
    places = actions.indexes(listed[_ACTION_ID].to_list())

    def column(*names: str, default: int) -> NDArray[np.int64]:
        values = np.full(len(actions), default, np.int64)
        found = next((name for name in names if name in listed.columns), None)
        if found is not None:
            values[places] = listed[found].cast(pl.Int64).fill_null(default).to_numpy()
        return values

    expiration = column("EXPIRATION_TIMESTAMP", "ACTION_EXPIRATION_TIMESTAMP", default=NO_TIME)
    # -1 stands for none; what expired before 1970 is over whenever it was.
    expiration = np.where(expiration == NO_TIME, -1, np.maximum(expiration, 0))
    return Actions(
        value=column("VALUE", default=0).astype(np.float32),
        expiration=expiration,
        repeat_days=column("REPEAT_FREQUENCY", default=0),
    )
