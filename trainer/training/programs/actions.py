"""Training of Next-Best-Action, from actions, action interactions and the interactions with items."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from common import columns
from common.artifacts import Artifact
from common.errors import CorruptArtifact, InvalidInput
from common.features import FeatureSnapshot, NumbersColumn
from common.filters import Dataset
from common.storage import Store
from common.tables import Table
from common.vocabulary import Vocabulary
from inference.past_events import PAST_ACTIONS
from protos.tailorbird.storage.v1 import artifact_manifest_pb2 as manifest_pb2
from recipes.data.columns import NO_TIME
from recipes.data.training_data import Interactions
from recipes.evaluation.paired_tests import Pair
from recipes.models.action_propensity.data import ActionData, ActionEvents, Actions
from recipes.models.action_propensity.evaluation import compare, evaluate
from recipes.models.action_propensity.samples import Samples, make_samples
from recipes.models.action_propensity.score import ActionPropensityScorer
from recipes.models.action_propensity.score import load as open_propensities
from trainer.training.artifact_writer import no_index, write_users, write_vocabularies
from trainer.training.loading import LoadedData, load, open_features, with_users
from trainer.training.offline_evaluation import OfflineEvaluation, evaluate_by
from trainer.training.past_events import CollectedEvents, collect_events
from trainer.training.program import Training
from trainer.training.spec import TableVersion, TrainingSpec

if TYPE_CHECKING:
    from recipes.models.action_propensity.fit import ActionPropensityFitter

__all__ = ["ActionsSteps", "LoadedActions", "load_actions"]

_ACTION_ID: Final = "ACTION_ID"
_TAKEN: Final = "TAKEN"
_EVENT_TYPES: Final = (_TAKEN, "NOTTAKEN", "VIEWED")
#: Share of the users with action interactions who are not learnt from, but measured with.
_TEST_SHARE: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedActions(LoadedData):
    """What is learnt from; of interactions with items and actions, the users of both.

    Attributes:
        actions: Ids of the actions.
        action_data: Everything, by indexes.
        past_actions: What filters know of the action interactions.
    """

    actions: Vocabulary
    action_data: ActionData
    past_actions: CollectedEvents


class ActionsSteps:
    """Trains models of actions, with a tenth of the acting users held out: the steps of `program.train`."""

    stage_names: tuple[str, ...] = ("load", "split", "fit", "evaluate", "compare", "extend", "pack")

    def __init__(self, training: Training) -> None:
        self._training = training

    def load(self) -> LoadedActions:
        """Read the snapshot, actions and action interactions included."""
        store, spec, folder = self._training.store, self._training.spec, self._training.folder
        return load_actions(store, spec, load(store, spec, folder=folder), folder=folder)

    def split(self, loaded: LoadedActions) -> NDArray[np.bool_]:
        """Choose the test users by the hashes of their ids: bool [n_users], none where one user alone is active."""
        active = np.unique(loaded.action_data.events.user)
        keys = loaded.users.keys()[active]
        chosen = active[np.argsort(keys, kind="stable")[: max(1, round(_TEST_SHARE * len(active)))]]
        held_out = np.zeros(loaded.data.n_users, bool)
        held_out[chosen] = len(active) > 1
        return held_out

    def tune(self, *_: object) -> dict[str, str]:
        """Tune nothing: there is no hyperparameter to tune."""
        return {}

    def fit(
        self, fitter: ActionPropensityFitter, held_out: NDArray[np.bool_], loaded: LoadedActions
    ) -> ActionPropensityScorer:
        """Learn from all users but those held out."""
        return fitter.fit(loaded.action_data.of_users(~held_out))

    def evaluate(
        self,
        fitter: ActionPropensityFitter,
        model: ActionPropensityScorer,
        held_out: NDArray[np.bool_],
        loaded: LoadedActions,
    ) -> OfflineEvaluation:
        """Measure the propensities of the test users' events, and base rates as propensities for everybody."""
        samples = fitter.samples(loaded.action_data)
        rows = held_out[samples.user]
        test_samples = samples.where(rows)
        propensities = model.shares(samples.rows[rows], samples.action[rows])
        base_rates = _base_rates(samples.where(~rows), n_actions=len(loaded.actions))

        def pair_with(artifact: Artifact) -> Pair:
            theirs, learnt = _champion_propensities(artifact, loaded, period_days=fitter.period_days)
            fair = loaded.users.keys()[test_samples.user] <= np.uint64(artifact.manifest.highest_test_key)
            return compare(
                propensities[fair], theirs[rows][fair], test_samples.where(fair), trained=model.trained | learnt
            )

        return evaluate_by(
            evaluate(propensities, test_samples, trained=model.trained),
            {"base-rates": evaluate(base_rates[test_samples.action], test_samples, trained=model.trained)},
            test_users=int(held_out.sum()),
            pair_with=pair_with,
            seed=self._training.spec.seed,
        )

    def keep_measured(
        self, model: ActionPropensityScorer, held_out: NDArray[np.bool_], loaded: LoadedActions, folder: Path
    ) -> int | None:
        """Write the model and all ids, unless nobody was held out."""
        if not held_out.any():
            return None
        folder.mkdir()
        model.save(folder)
        loaded.actions.save(folder, "actions")
        write_vocabularies(loaded, folder)
        return int(loaded.users.keys()[held_out].max())

    def refit(
        self, fitter: ActionPropensityFitter, _: ActionPropensityScorer, loaded: LoadedActions
    ) -> ActionPropensityScorer:
        """Learn on from all users."""
        return fitter.extend(loaded.action_data)

    def index(self, *_: object) -> manifest_pb2.IndexCalibration:
        """Build no index: actions are few, and all are scored."""
        return no_index("exact", self._training.spec)

    def export(self, model: ActionPropensityScorer, loaded: LoadedActions, folder: Path) -> None:
        """Write the model, its users as they are now, and the ids of the actions."""
        model.save(folder)
        write_users(model, self._training.recipe, loaded, folder)
        loaded.actions.save(folder, "actions")
        loaded.past_actions.save(folder, PAST_ACTIONS, users=loaded.users, items=loaded.actions)

    def dimensions(self, model: ActionPropensityScorer) -> int:
        """Return the length of the items' vectors."""
        return int(model.item_vectors.shape[1])


def load_actions(store: Store, spec: TrainingSpec, loaded: LoadedData, *, folder: Path) -> LoadedActions:
    """Read actions and action interactions.

    Args:
        store: The shared store.
        spec: Names the tables.
        loaded: The interactions with items, already read.
        folder: Existing, for files of features that stay as long as the training.

    Raises:
        InvalidInput: One of the two has no data.
        ResourceNotFound: A table has been deleted meanwhile.
        Unavailable: The store cannot be reached.
    """
    listed = open_features(store, _table(spec, "ACTIONS"), folder=folder)
    listed_ids = listed.ids.ids(range(listed.n_rows))
    recorded = _table(spec, "ACTION_INTERACTIONS")
    done = Table(store, recorded.location).read(version=recorded.version)
    # The documentation writes `Not taken` and NOT_TAKEN; PutActionInteractions takes all spellings of them.
    kind = pl.col(columns.EVENT_TYPE).str.to_uppercase().str.replace_all("[ _]", "")
    done = with_users(done)
    past_actions = collect_events(done, dataset=Dataset.ACTION_INTERACTIONS)
    done = done.with_columns(kind).filter(
        pl.col(columns.USER_ID).is_not_null() & pl.col(columns.EVENT_TYPE).is_in(_EVENT_TYPES)
    )
    # An events service keeps an event once; a repeated call may have reached another.
    sent = pl.col(columns.EVENT_ID)
    done = done.sort(columns.TIMESTAMP, columns.USER_ID, _ACTION_ID, columns.EVENT_TYPE).filter(
        sent.is_null() | sent.is_first_distinct()
    )
    action_ids = pl.concat([pl.Series(listed_ids, dtype=pl.String), done[_ACTION_ID]]).unique().sort()
    item_users = pl.Series(loaded.users.ids(range(len(loaded.users))), dtype=pl.String)
    users = Vocabulary.build(pl.concat([item_users, done[columns.USER_ID]]).unique().sort().to_list())
    loaded = _with_users(loaded, users)
    actions = Vocabulary.build(action_ids.to_list())
    rules = _action_rules(listed, actions.indexes(listed_ids), n_actions=len(actions))
    events = ActionEvents.sort(
        users.indexes(done[columns.USER_ID].to_list()),
        action=actions.indexes(done[_ACTION_ID].to_list()),
        taken=(done[columns.EVENT_TYPE] == _TAKEN).to_numpy(),
        timestamp=done[columns.TIMESTAMP].to_numpy(),
    )
    return LoadedActions(
        **{item.name: getattr(loaded, item.name) for item in fields(loaded)},
        actions=actions,
        action_data=ActionData(loaded.data, rules, events),
        past_actions=past_actions,
    )


def _table(spec: TrainingSpec, dataset_type: str) -> TableVersion:
    table = spec.table(dataset_type)
    if table is None:
        raise InvalidInput(f"Create failed. {spec.recipe} needs {dataset_type.title()}: import such a dataset.")
    return table


def _with_users(loaded: LoadedData, users: Vocabulary) -> LoadedData:
    """Return the same interactions and columns with users added who have none."""
    indexes = users.indexes(loaded.users.ids(range(len(loaded.users))))
    rows = loaded.data.interactions
    interactions = Interactions.sort(
        indexes[rows.user],
        item=rows.item,
        timestamp=rows.timestamp,
        event_type=rows.event_type,
        streamed=rows.streamed,
    )
    user_columns = loaded.data.users.moved(indexes, n_rows=len(users))
    data = replace(loaded.data, interactions=interactions, n_users=len(users), users=user_columns)
    return replace(loaded, users=users, data=data)


def _action_rules(listed: FeatureSnapshot, numbers: NDArray[np.int32], *, n_actions: int) -> Actions:
    """Return the rules of the actions; those that are in no Actions dataset have none.

    Args:
        listed: The Actions dataset.
        numbers: int32 [rows of the dataset], the number of each action.
        n_actions: How many actions there are.
    """

    def column(*names: str, default: int) -> NDArray[np.int64]:
        values = np.full(n_actions, default, np.int64)
        present = next((listed.columns[name] for name in names if name in listed.columns), None)
        if present is not None:
            assert isinstance(present, NumbersColumn), "the schema says that it has numbers"
            rules = present.values
            values[numbers] = np.where(rules.is_null, default, rules.values.astype(np.int64))
        return values

    expiration = column("EXPIRATION_TIMESTAMP", "ACTION_EXPIRATION_TIMESTAMP", default=NO_TIME)
    # -1 stands for none; what expired before 1970 is over whenever it was.
    expiration = np.where(expiration == NO_TIME, -1, np.maximum(expiration, 0))
    return Actions(
        value=column("VALUE", default=0).astype(np.float32),
        expiration=expiration,
        repeat_days=column("REPEAT_FREQUENCY", default=0),
    )


def _base_rates(samples: Samples, *, n_actions: int) -> NDArray[np.float64]:
    """Return the share of takers of each action, as a propensity for everybody: float64 [n_actions]."""
    times, takes = (
        np.bincount(numbers, minlength=n_actions) for numbers in (samples.action, samples.action[samples.taken])
    )
    rates: NDArray[np.float64] = takes / np.maximum(times, 1)
    return rates


def _champion_propensities(
    artifact: Artifact, loaded: LoadedActions, *, period_days: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Let a champion predict how likely actions are taken, at the events that the new version is measured by.

    Args:
        artifact: Its model as it was measured.
        loaded: Actions, items and users of the new version; all is matched by name.
        period_days: The optimization period of the new version.

    Returns:
        float64 [samples], in the order of the new version's samples, 0 for actions that it does not know; and whether
        it has learnt each action, bool [n_actions].

    Raises:
        CorruptArtifact: Its files do not fit each other.
    """
    scorer, data = open_propensities(artifact.folder), loaded.action_data
    ids = {name: Vocabulary.load(artifact.folder, name) for name in ("actions", "items", "users")}
    sizes = {"actions": len(scorer.actions), "items": len(scorer.item_vectors), "users": len(scorer.totals)}
    for name, size in sizes.items():
        if len(ids[name]) != size:
            raise CorruptArtifact(f"`{name}.*.npy`: got {len(ids[name])} {name}, want {size}, as the other files have")
    items, actions, users = (
        ids[name].indexes(current.ids(range(len(current))))
        for name, current in (("items", loaded.items), ("actions", loaded.actions), ("users", loaded.users))
    )
    rows = data.items.interactions
    translatable = data.items.where(items[rows.item] >= 0)
    translated = replace(translatable.interactions, item=items[translatable.interactions.item])
    content = np.zeros((len(users), scorer.user_content.shape[1]), np.float32)
    content[users >= 0] = scorer.user_content[users[users >= 0]]
    theirs = replace(data, items=replace(translatable, interactions=translated, n_items=sizes["items"]))
    samples = make_samples(theirs, scorer.item_vectors[:, :-2], content, period_days=period_days)
    action = actions[samples.action]
    propensities = np.where(action >= 0, scorer.shares(samples.rows, action), 0.0)
    return propensities, (actions >= 0) & scorer.trained[actions]
