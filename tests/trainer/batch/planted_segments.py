"""A model that ranks users as can be worked out by hand: each user has a taste, and lower numbers like it more."""

from __future__ import annotations

import numpy as np

from common.artifacts import publish_artifact
from common.vocabulary import Vocabulary
from protos.tailorbird.internal.v1 import jobs_pb2
from protos.tailorbird.storage.v1.artifact_manifest_pb2 import ArtifactManifest
from recipes.data.columns import CategoricalColumn, Columns
from recipes.data.sparse import SparseRows
from recipes.models.user_segments.attributes import Attributes
from recipes.models.user_segments.score import SegmentScorer, Weights
from tests.trainer.batch.running import BatchPlace
from trainer.batch.segments import BatchSegmentJobHandler
from trainer.worker import NullJobContext

TASTES = ("Comedy", "Drama", "War")
USERS, ITEMS = 30, 6
LOCATION = "artifacts/segments-1"


def users_of(taste, *, limit=USERS):
    """Return the users of a taste, who like it most first."""
    return [f"u{user:02}" for user in range(USERS) if user % len(TASTES) == taste][:limit]


def planted_scorer(n_users=USERS, n_items=ITEMS):
    users, items = np.arange(n_users), np.arange(n_items)
    user_factors = np.zeros((n_users, len(TASTES)), np.float32)
    user_factors[users, users % len(TASTES)] = 2.0 - users / n_users
    nobody = SparseRows(np.zeros(n_items + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    return SegmentScorer(
        user_factors,
        np.eye(len(TASTES), dtype=np.float32)[items % len(TASTES)],
        activity=np.zeros(n_users, np.float32),
        user_times=np.zeros(n_users, np.int64),
        item_times=np.zeros(n_items, np.int64),
        users_of_items=nobody,
        weights=Weights(activity=0.0, earlier_use=0.0, period=0.0),
    )


def publish_segments(place, recipe="aws-item-affinity", *, location=LOCATION):
    """Publish the model; items are i0 to i5, of the genre of their taste, those from i3 on of "New" as well."""
    folder = place.new_folder()
    planted_scorer().save(folder)
    Vocabulary.build([f"i{item}" for item in range(ITEMS)]).save(folder, "items")
    Vocabulary.build([f"u{user:02}" for user in range(USERS)]).save(folder, "users")
    genres = [[TASTES[item % len(TASTES)], *(["New"] if item >= len(TASTES) else [])] for item in range(ITEMS)]
    years = np.array([1990.0 + item for item in range(ITEMS)])
    columns = Columns(categorical={"GENRES": CategoricalColumn.of_values(genres)}, numeric={"YEAR": years})
    Attributes.of_columns(columns, n_items=ITEMS).save(folder)
    publish_artifact(place.store, location, files=folder, manifest=ArtifactManifest(recipe=recipe))


def segment_job(place, compute, *, context=None, **payload):
    """Run a job whose input is `input/` and whose output is `output/`."""
    runner = BatchPlace(place.root, compute=compute).runner()
    handler = BatchSegmentJobHandler(place.store, runner, flusher=place.flusher, store_settings=place.settings)
    members = {
        "artifact_location": LOCATION,
        "input_location": "s3://films/input/",
        "output_location": "s3://films/output/",
        "num_results": 25,
        "tables": place.tables("INTERACTIONS", "ITEMS", "USERS"),
    }
    return handler.run(jobs_pb2.BatchSegmentPayload(**members | payload), context or NullJobContext())
