"""Bringing a model up to date: the data as they are now around weights that stay as they were learnt.

New items and users, and everything that users did since, are taken up; vectors of users and the index are made anew.
The model is not fitted and nothing is measured. What the columns of new items predict of them is learnt from the items
that were there.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from common.artifacts import open_artifact
from common.errors import invalid
from common.vocabulary import Vocabulary
from protos.tailorbird.storage.v1 import artifact_manifest_pb2 as manifest_pb2
from recipes.components.cold_start import CONTENT_SIZE
from recipes.data.histories import Histories
from recipes.models.lsa.decomposition import learn_vectors
from recipes.ports import LearntContent, SupportsIncrementalUpdate
from recipes.registry import open_scorer
from trainer.training.artifact_writer import write_index
from trainer.training.loading import LoadedData, load
from trainer.training.objective_bias import ItemModel, apply_objective, remove_objective
from trainer.training.program import Base
from trainer.training.programs.item_recommendation import ItemExport

__all__ = ["IncrementalUpdateSteps"]


class IncrementalUpdateSteps(ItemExport):
    """Updates models of items: the steps of `trainer.training.program.update`."""

    stage_names: tuple[str, ...] = ("load", "update", "index", "pack")

    def load_base(self) -> Base:
        """Open the artifact that the spec names."""
        training = self._training
        assert training.spec.base is not None, "it is what makes a training an update"
        artifact = open_artifact(training.store, training.spec.base, cache=training.folder / "base")
        if artifact.manifest.recipe != training.recipe.name:
            want = f"FULL: the version to update is one of {artifact.manifest.recipe}, not of {training.recipe.name}"
            raise invalid("trainingMode", got="UPDATE", want=want)
        return Base(artifact.folder, artifact.manifest)

    def load(self, base: Base) -> LoadedData:
        """Read the snapshot, with the types of events numbered as the base has them."""
        return load(
            self._training.store,
            self._training.spec,
            folder=self._training.folder,
            event_types=list(base.manifest.event_types),
        )

    def update(self, base: Base, loaded: LoadedData) -> ItemModel:
        """Let the model take up what is new, and apply the objective to the items that there are now."""
        spec = self._training.spec
        scorer = remove_objective(open_scorer(self._training.recipe, base.folder), base.folder)
        if not isinstance(scorer, SupportsIncrementalUpdate):
            raise invalid("trainingMode", got="UPDATE", want=f"FULL: {base.manifest.recipe} knows no other")
        before = Vocabulary.load(base.folder, "items").indexes(loaded.items.ids(range(len(loaded.items))))
        content = self.read_columns(loaded)
        updated = scorer.updated(before.astype(np.int64), loaded.data, content=content, seed=spec.seed)
        return apply_objective(updated, loaded, spec)

    def read_columns(self, loaded: LoadedData) -> LearntContent | None:
        """Return what columns say of the items; None without columns."""
        data = loaded.data
        if not data.items:
            return None
        seed = self._training.spec.seed
        return LearntContent(*learn_vectors(data.items, n_rows=data.n_items, size=CONTENT_SIZE, seed=seed))

    def index(self, model: ItemModel, split: Histories, folder: Path) -> manifest_pb2.IndexCalibration:
        """Make the index from half of the users, and measure it by the others: nobody is held out from the model."""
        spec, order = self._training.spec, np.random.default_rng(self._training.spec.seed).permutation(len(split))
        half = (len(order) + 1) // 2
        return write_index(
            model.scorer, folder, spec, held_out=split.take(order[:half]), learnt=split.take(order[half:])
        )
