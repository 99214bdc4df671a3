"""Users' columns from the Users dataset to what a runtime recommends: by a real training, without and with events."""

from __future__ import annotations

import numpy as np
import pytest

from common.artifacts import open_artifact
from common.errors import CorruptArtifact
from inference.model import ModelLoader
from inference.pipelines import Pipeline
from inference.recent_events import RecentEvent, to_history
from inference.request import RecommendationRequest
from protos.tailorbird.control.v1.solution_config_pb2 import SolutionConfig
from protos.tailorbird.internal.v1 import jobs_pb2
from protos.tailorbird.internal.v1.jobs_pb2 import PredecessorVersion
from protos.tailorbird.storage.v1.artifact_manifest_pb2 import ArtifactManifest
from recipes.data.histories import History
from runtime_service.history.records import StoredHistory, encode
from tests.control_plane.world import avro, column
from tests.trainer import place as places
from trainer.training.loading import load
from trainer.training.programs import run_program
from trainer.training.snapshot import take_snapshot
from trainer.training.spec import TrainingSpec
from trainer.worker import NullJobContext

USERS = avro(
    "Users",
    column("USER_ID"),
    column("CLUB", ["null", "string"], categorical=True),
    column("AGE", ["null", "int"]),
    column("NAME", ["null", "string"]),
)
HEADER = "USER_ID,CLUB,AGE,NAME"
MEMBERS, SHELF, STEPS = 120, 20, 9
SMALL = {
    "embedding_size": "16", "layers": "1", "max_length": "8", "learning_rate": "0.03", "epochs": "10",
    "patience": "10", "validation_targets": "60",
}  # fmt: skip
RECIPE = "aws-user-personalization-v2"


def club(user: int) -> str:
    return ("even", "odd")[user % 2]


@pytest.fixture
def filled(place, monkeypatch):
    """Let members of two clubs use two shelves, and enlist `new-even` and `new-odd`, who have done nothing yet."""
    monkeypatch.setitem(places.SCHEMAS, "USERS", USERS)
    random = np.random.default_rng(1)
    lines = [
        f"u{user:03},{club(user)}-{film:02},{1_700_000_000 + user * 100 + step},watch,"
        for user in range(MEMBERS)
        for step, film in enumerate(random.permutation(SHELF)[:STEPS])
    ]
    place.write("a.csv", *lines)
    place.bring("s3://films/a.csv")
    bring_users(place, "new-even,even|late,30,Ann", "new-odd,odd,30,Bob")
    return place


def bring_users(place, *more: str) -> None:
    members = [f"u{user:03},{club(user)},{20 + user},Name {user}" for user in range(MEMBERS)]
    place.write("users.csv", *members, "silent,,,Cid", *more, header=HEADER)
    place.bring("s3://films/users.csv", kind="USERS")


def make_spec(place, recipe: str = RECIPE, *, champion: PredecessorVersion | None = None, **columns) -> TrainingSpec:
    return place.spec(
        take_snapshot(place.store, place.tables("INTERACTIONS", "USERS")).tables,
        recipe,
        solution_config=SolutionConfig(
            algorithm_hyper_parameters=SMALL, training_data_config=places.training_columns(**columns)
        ),
        predecessor=champion,
    )


def publish(place, version: int) -> Pipeline:
    """Train in a child process and serve the result."""
    location = f"artifacts/version-{version}"
    payload = jobs_pb2.SolutionVersionTrainingPayload(
        solution_version_arn=f"arn:aws:personalize:eu-west-1:123456789012:solution/people/{version}",
        artifact_location=location,
        recipe=RECIPE,
        training_mode="FULL",
        tables=place.tables("INTERACTIONS", "USERS"),
        solution_config=SolutionConfig(algorithm_hyper_parameters=SMALL),
    )
    place.training_handler().run(payload, NullJobContext())
    model = ModelLoader(place.store, cache=place.root / "cache", index="exact").load(location)
    return Pipeline.make(model, cache_users=5)


def recommend(pipeline: Pipeline, user: str, **members) -> list[str]:
    return list(pipeline.run(RecommendationRequest(10, user_id=user, **members)).item_ids)


def share_of(club_name: str, pipeline: Pipeline, user: str) -> float:
    """Return the share of the first ten recommendations that is on a club's shelf."""
    return float(np.mean([item_id.startswith(club_name) for item_id in recommend(pipeline, user)]))


def as_history(model, event: RecentEvent) -> History:
    return to_history([event], index_of=model.items.index, event_types=model.event_types)


def test_users_with_columns_are_known_without_interactions_and_those_that_tell_nothing_are_not(filled):
    loaded = load(filled.store, make_spec(filled), folder=filled.new_folder())
    user_ids = loaded.users.ids(range(len(loaded.users)))
    assert user_ids == ["new-even", "new-odd", *(f"u{user:03}" for user in range(MEMBERS))]
    users = loaded.data.users
    assert users.categorical["CLUB"].categories == ("even", "late", "odd")
    assert users.numeric["AGE"][:3].tolist() == [30, 30, 20]
    assert loaded.data.histories().lengths()[:3].tolist() == [0, 0, STEPS]


@pytest.mark.parametrize(
    ("configuration", "learnt"),
    [
        ({"excluded_columns": {"USERS": ("CLUB",)}}, ["AGE"]),
        ({"included_columns": {"USERS": ("CLUB",)}}, ["CLUB"]),
        ({"included_columns": {"USERS": ()}}, []),
    ],
)
def test_columns_that_a_solution_leaves_out_are_not_learnt_from(filled, configuration, learnt):
    data = load(filled.store, make_spec(filled, **configuration), folder=filled.new_folder()).data
    assert [*data.users.categorical, *data.users.numeric] == learnt
    assert data.n_users == MEMBERS + 2 * bool(learnt)


@pytest.mark.parametrize("recipe", ["aws-popularity-count", "aws-hrnn", "aws-similar-items"])
def test_recipes_that_do_not_learn_from_users_are_given_none(filled, recipe):
    data = load(filled.store, make_spec(filled, recipe), folder=filled.new_folder()).data
    assert not data.users
    assert data.n_users == MEMBERS


@pytest.mark.parametrize(
    "recipe",
    [
        "aws-user-personalization-v2", "aws-user-personalization", "aws-personalized-ranking-v2",
        "aws-personalized-ranking", "aws-hrnn-metadata", "aws-hrnn-coldstart", "aws-next-best-action",
        "aws-ecomm-recommended-for-you", "aws-vod-top-picks",
    ],
)  # fmt: skip
def test_recipes_that_learn_from_users_are_given_their_columns(filled, recipe):
    assert load(filled.store, make_spec(filled, recipe), folder=filled.new_folder()).data.users


def test_columns_decide_what_users_get_who_have_done_nothing_or_little(filled):
    pipeline = publish(filled, 1)

    assert share_of("even", pipeline, "new-even") >= 0.9
    assert share_of("odd", pipeline, "new-odd") >= 0.9
    # An event with an item of the other shelf makes the vector anew, and the columns still count.
    model, users = pipeline.model, pipeline.users
    user, step = model.users.index("new-even"), model.items.index("odd-03")
    history = History.of_items([step])
    added = model.scorer.user_features.of_codes(model.user_codes[user : user + 1], np.ones(1, int))[0]
    np.testing.assert_allclose(
        users.embed_history(user, history)[:-1], model.scorer.embed_history(history)[:-1] + added, atol=1e-5
    )
    assert users.embed_history(None, history).tolist() == model.scorer.embed_history(history).tolist()
    event = RecentEvent(offset=5, millis=1_800_000_000_000, event_type="watch", item_id="odd-03", fingerprint=1)
    recent_history = StoredHistory(encode([event]))
    embedding = users.user_state("new-even", recent_history).embedding
    np.testing.assert_allclose(
        embedding, users.embed_history(user, users.whole_history(None, as_history(model, event)))
    )
    assert not np.allclose(embedding, users.user_state("unknown", recent_history).embedding)


def test_a_context_cannot_stand_for_a_column(filled):
    pipeline = publish(filled, 1)
    assert recommend(pipeline, "unknown", context={"CLUB": "odd"}) == recommend(pipeline, "unknown")


def test_columns_of_users_who_are_deleted_are_gone_with_the_next_training(filled):
    before = publish(filled, 1)
    assert before.model.users.index("new-even") is not None
    bring_users(filled, "new-odd,odd,30,Bob")

    after = publish(filled, 2)

    assert after.model.users.index("new-even") is None
    assert recommend(after, "new-even") == recommend(after, "unknown")
    assert share_of("odd", after, "new-odd") >= 0.9


def test_test_users_are_measured_with_their_columns(filled, tmp_path):
    """Everybody begins with one film and goes on to that of the own club: only the column says which."""
    lines = [
        f"u{user:03},{film},{1_700_000_000 + user * 100 + step},watch,"
        for user in range(500)
        for step, film in enumerate(("door", f"{club(user)}-film"))
    ]
    filled.write("a.csv", *lines)
    filled.bring("s3://films/a.csv")
    bring_users(filled, *(f"u{user:03},{club(user)},," for user in range(MEMBERS, 500)))

    def measured(name: str, **more) -> ArtifactManifest:
        (tmp_path / name).mkdir()
        return run_program(make_spec(filled, **more), tmp_path / name, progress=lambda **report: None)

    knowing = measured("knowing")
    ignorant = measured("ignorant", excluded_columns={"USERS": ("CLUB",)})
    assert knowing.metrics["mean_reciprocal_rank_at_25"] > 0.95
    assert ignorant.metrics["mean_reciprocal_rank_at_25"] < 0.9


def test_the_champion_is_measured_with_the_columns_too(filled, tmp_path):
    publish(filled, 1)
    before = PredecessorVersion(solution_version_arn="before", artifact_location="artifacts/version-1")
    again = run_program(make_spec(filled, champion=before), tmp_path, progress=lambda **report: None)
    differences = again.evaluation.comparison.differences
    assert differences
    assert all(item.value == item.predecessor for item in differences)


def test_codes_of_another_model_are_corrupt(filled):
    publish(filled, 1)
    folder = open_artifact(filled.store, "artifacts/version-1", cache=filled.root / "cache").folder
    codes = np.load(folder / "user_codes.npy")
    assert codes.shape[0] == MEMBERS + 2
    np.save(folder / "user_codes.npy", np.full_like(codes, 99))
    with pytest.raises(CorruptArtifact, match=r"user_codes\.npy"):
        ModelLoader(filled.store, cache=filled.root / "cache", index="exact").load("artifacts/version-1")
