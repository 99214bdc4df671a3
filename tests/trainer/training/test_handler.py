"""Trainings: what they publish and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from common.artifacts import open_artifact
from common.errors import InvalidInput, OperationUnavailable
from common.vocabulary import Vocabulary
from inference.model import ModelLoader
from recipes.catalog import get_recipe
from recipes.models.user_segments.score import load_attribute_segments, load_segments
from recipes.spec import RecipeKind
from tests.trainer.place import HEADERS, train_here, walks
from tests.trainer.training.running import KEYS, QUICK, QUICK_V1, opened, train
from trainer.training.process import run_training

QUICK_HRNN = (
    '{"algorithmHyperParameters": {"hidden_dimension": "32", "epochs": "1"}, '
    '"featureTransformationParameters": {"cold_start_max_duration": "3", "cold_start_relative_from": "currentTime"}}'
)
WEIGHED_KEYS = {f"normalized_discounted_cumulative_gain_with_event_weights_at_{cut}" for cut in (5, 10, 25)}


@pytest.mark.parametrize(
    ("recipe", "config"),
    [
        ("aws-popularity-count", "{}"),
        ("aws-user-personalization-v2", QUICK),
        ("aws-personalized-ranking-v2", QUICK),
        ("aws-hrnn-coldstart", QUICK_HRNN),
        ("aws-sims", "{}"),
        ("aws-similar-items", "{}"),
        ("aws-trending-now", "{}"),
        ("tailorbird-ials", "{}"),
    ],
)
def test_a_published_artifact_is_whole_and_its_files_agree(filled, recipe, config):
    run = run_training if recipe == "aws-user-personalization-v2" else train_here
    result = train(filled, recipe, solution_config=config, run=run)
    extra = {"trend_prediction_accuracy"} if get_recipe(recipe).kind is RecipeKind.TRENDING_ITEMS else set()

    artifact = opened(filled)
    manifest = artifact.manifest
    assert set(result.metrics) == set(manifest.metrics) == KEYS | extra
    assert all(value == round(value, 4) for value in result.metrics.values())
    baselines = {"popularity": KEYS | extra, "sequence-rules": KEYS}
    assert {item.name: set(item.metrics) for item in manifest.baselines} == baselines
    assert result.artifact_bytes == sum(path.stat().st_size for path in artifact.folder.iterdir())
    assert 0 < result.training_hours < 0.2
    assert (manifest.n_items, manifest.n_users, manifest.snapshot.tables[0].version) == (40, 60, 0)
    # So few items are scored whole: nothing else is built.
    assert [measured.index for measured in manifest.index.measurements] == ["exact"]
    assert (manifest.index.chosen, manifest.index.has_scan) == ("exact", False)
    users, items = (Vocabulary.load(artifact.folder, name) for name in ("users", "items"))
    offsets, indexes, actions, times = (
        np.load(artifact.folder / f"history_{name}.npy") for name in ("offsets", "items", "actions", "times")
    )
    user = users.index("u003")
    steps = slice(offsets[user], offsets[user + 1])
    assert items.ids(indexes[steps]) == [f"i{(21 + step) % 40:03}" for step in range(20)]
    assert list(manifest.event_types) == ["watch"]
    assert (actions.dtype, actions[steps].tolist()) == (np.uint8, [1] * 20)
    assert (times.dtype, times[steps].tolist()) == (np.int64, [1_700_003_000 + step for step in range(20)])
    explores = {path.name for path in artifact.folder.glob("exploration_*")}
    assert len(explores) == (3 if recipe == "aws-user-personalization-v2" else 0)
    # A runtime opens it, and finds the stored vectors to be those of the stored histories.
    model = ModelLoader(filled.store, cache=filled.root / "cache", index="annoy").load("artifacts/films-1")
    np.testing.assert_allclose(
        model.user_vectors[user], model.scorer.embed_history(model.histories.of(user)), rtol=1e-4, atol=1e-5
    )


def spelled(lines, *types):
    """Spell the event type of each line in one of several ways."""
    return [line.replace("watch", types[number % len(types)]) for number, line in enumerate(lines)]


def test_a_version_says_which_events_were_left_out_for_their_spelling(place):
    place.write("a.csv", *spelled(walks(users=120), "Watch", "watch", "watch", "watch "))
    place.bring("s3://films/a.csv")

    result = train(place, event_type="watch")

    warning = (
        "Interactions are left out because event types are compared exactly: "
        "600 of 'Watch', which is not 'watch'; 600 of 'watch ', which is not 'watch'."
    )
    assert list(result.evaluation.warnings) == [warning]
    assert list(opened(place).manifest.evaluation.warnings) == [warning]
    assert list(train(place, location="artifacts/all").evaluation.warnings) == []


@pytest.mark.parametrize(
    "chosen",
    [
        {"event_type": "watch"},
        {"solution_config": '{"eventsConfig": {"eventParametersList": [{"eventType": "watch", "weight": 1}]}}'},
    ],
)
def test_too_few_events_of_a_type_name_those_that_are_spelled_otherwise(place, chosen):
    place.write("a.csv", *spelled(walks(), "WATCH", "watch"))
    place.bring("s3://films/a.csv")
    with pytest.raises(InvalidInput, match=r"It has 600\. Interactions are left out .* 600 of 'WATCH', which is not"):
        train(place, **chosen)


def test_what_happened_before_1970_is_learnt_from_like_everything_else(place):
    metrics = []
    for begin in (-428_716_800, 1_700_000_000):
        place.write("a.csv", *walks(begin=begin))
        place.bring("s3://films/a.csv")
        result = train(place, "aws-user-personalization-v2", solution_config=QUICK, location=f"artifacts/films{begin}")
        metrics.append(dict(result.metrics))

    assert metrics[0] == metrics[1]
    model = ModelLoader(place.store, cache=place.root / "cache", index="exact").load("artifacts/films-428716800")
    times = model.histories.of(model.users.index("u003")).times
    assert times.tolist() == [-428_716_800 + 3000 + step for step in range(20)]


def test_a_training_on_a_damaged_table_fails_once_and_names_the_file(filled):
    (file,) = (filled.root / "store" / "datasets").rglob("*.parquet")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(InvalidInput, match=f"{file.name} is damaged"):
        train(filled)


def shop(users: int = 60) -> list[str]:
    """Return lines of a shop: everybody views twenty items and buys two of them, in events of any spelling."""
    lines = []
    for user in range(users):
        for step in range(20):
            when, item = 1_700_000_000 + user * 1000 + step, (user + step) % 40
            lines.append(f"u{user:03},i{item:03},{when},{('View', 'view', 'VIEW')[step % 3]},")
            if step < 2:
                lines.append(f"u{user:03},i{item:03},{when + 500},purchase,")
    return lines


@pytest.mark.parametrize(
    "recipe",
    [
        "aws-ecomm-popular-items-by-views",
        "aws-ecomm-customers-who-viewed-x-also-viewed",
    ],
)
def test_use_cases_learn_from_their_event_type_in_any_case(place, recipe):
    place.write("a.csv", *shop())
    place.bring("s3://films/a.csv")

    assert set(train(place, recipe).metrics) >= KEYS

    assert set(opened(place).manifest.event_types) == {"View", "view", "VIEW"}


@pytest.mark.parametrize("recipe", ["aws-ecomm-popular-items-by-purchases", "aws-ecomm-frequently-bought-together"])
def test_use_cases_want_a_thousand_of_their_events(place, recipe):
    place.write("a.csv", *shop())
    place.bring("s3://films/a.csv")
    with pytest.raises(
        InvalidInput,
        match=r"Dataset has fewer than 1000 interactions after filtering by event type: Purchase\. It has 120",
    ):
        train(place, recipe)


def test_more_like_x_wants_items(filled):
    with pytest.raises(InvalidInput, match="aws-vod-more-like-x needs items"):
        train(filled, "aws-vod-more-like-x")


@pytest.mark.parametrize("recipe", ["aws-vod-most-popular", "aws-vod-because-you-watched-x", "aws-vod-trending-now"])
def test_a_runtime_opens_what_a_use_case_comes_to(filled, recipe):
    train(filled, recipe)

    model = ModelLoader(filled.store, cache=filled.root / "cache", index="exact").load("artifacts/films-1")

    assert (model.recipe.name, model.recipe.returns_scores) == (recipe, False)


def test_segments_are_measured_and_made_from_the_artifact(filled):
    result = train(
        filled, "aws-item-affinity", solution_config='{"algorithmHyperParameters": {"hidden_dimension": "32"}}'
    )

    artifact = opened(filled)
    keys = {"coverage", "hits_at_1_percent", "recall_at_1_percent"}
    assert set(result.metrics) == keys
    assert {item.name: set(item.metrics) for item in artifact.manifest.baselines} == {"active-users": keys}
    assert artifact.manifest.dimensions == 32
    segment = load_segments(artifact.folder).segment("i007", 10)
    assert len(set(segment)) == 10
    assert set(segment) <= {f"u{user:03}" for user in range(60)}
    with pytest.raises(OperationUnavailable, match="of type USER_SEGMENTATION"):
        ModelLoader(filled.store, cache=filled.root / "cache", index="auto").load("artifacts/films-1")


def test_segments_by_attributes_want_items(filled):
    with pytest.raises(InvalidInput, match="got no column to find users by"):
        train(filled, "aws-item-attribute-affinity")


def test_segments_by_attributes_are_made_of_the_columns_of_items(filled):
    lines = [f"i{row:03},,{'Drama|War' if row % 2 else 'Comedy'},{1990 + row % 3}," for row in range(40)]
    filled.write("items.csv", *lines, header=HEADERS["ITEMS"])
    filled.bring("s3://films/items.csv", kind="ITEMS")
    config = '{"algorithmHyperParameters": {"hidden_dimension": "32"}%s}'

    train(filled, "aws-item-attribute-affinity", solution_config=config % "")

    segments = load_attribute_segments(opened(filled).folder)
    segment = segments.segment('ITEMS.GENRES = "War" AND ITEMS.YEAR = 1991', 10)
    assert len(set(segment)) == 10
    assert set(segment) <= {f"u{user:03}" for user in range(60)}
    with pytest.raises(InvalidInput, match="want a value of that column"):
        segments.segment('ITEMS.GENRES = "Drama|War"', 10)  # they are two

    without = ', "trainingDataConfig": {"excludedDatasetColumns": {"Items": {"values": ["GENRES"]}}}'
    train(filled, "aws-item-attribute-affinity", solution_config=config % without, location="artifacts/films-2")
    artifact = open_artifact(filled.store, "artifacts/films-2", cache=filled.root / "cache")
    with pytest.raises(InvalidInput, match="want a column of Items: one of YEAR"):
        load_attribute_segments(artifact.folder).segment('ITEMS.GENRES = "War"', 10)


def test_an_attempt_after_a_publication_answers_with_it(filled):
    first = train(filled)
    before = {path: path.stat().st_mtime_ns for path in opened(filled).folder.iterdir()}

    again = train(filled)

    assert (dict(again.metrics), again.artifact_bytes) == (dict(first.metrics), first.artifact_bytes)
    assert {path: path.stat().st_mtime_ns for path in opened(filled).folder.iterdir()} == before


def test_an_event_type_that_nobody_sent_is_too_little(filled):
    with pytest.raises(InvalidInput, match="fewer than 1000 interactions after filtering by event type: click"):
        train(filled, event_type="click")


def test_a_threshold_of_the_solution_is_used(filled):
    with pytest.raises(InvalidInput, match=r"after filtering by event value: 5 or more\. It has 240"):
        train(filled, solution_config='{"eventValueThreshold": "5"}')


def test_events_are_chosen_and_weighed_by_their_types(filled):
    filled.write("b.csv", *(f"u{user:03},i{user % 40:03},1,buy,{user % 2}" for user in range(60)))
    filled.bring("s3://films/b.csv", replace=False)
    listed = (
        '{"eventsConfig": {"eventParametersList": [{"eventType": "watch", "weight": 0.1}, '
        '{"eventType": "buy", "eventValueThreshold": 1, "weight": 0.3}]}}'
    )

    result = train(filled, solution_config=listed)

    manifest = opened(filled).manifest
    assert set(result.metrics) == KEYS | WEIGHED_KEYS
    assert {frozenset(item.metrics) for item in manifest.baselines} == {frozenset(KEYS | WEIGHED_KEYS)}
    assert list(manifest.event_types) == ["watch", "buy"]
    actions = np.load(opened(filled).folder / "history_actions.npy")
    assert np.bincount(actions).tolist() == [0, 1200, 30]


def test_without_any_interactions_nothing_is_started(place):
    with pytest.raises(InvalidInput, match=r"fewer than 1000 interactions\. It has 0"):
        train(place)


def test_hyperparameters_out_of_range_are_refused(filled):
    with pytest.raises(InvalidInput, match="layers"):
        train(
            filled, "aws-user-personalization-v2",
            solution_config='{"algorithmHyperParameters": {"layers": "99"}}',
        )  # fmt: skip


def test_parameters_of_the_feature_transformation_reach_the_recipe(filled):
    with pytest.raises(InvalidInput, match=r"featureTransformationParameters\.min_user_history_length_percentile"):
        train(
            filled, "aws-sims",
            solution_config='{"featureTransformationParameters": {"min_user_history_length_percentile": "2"}}',
        )  # fmt: skip


FAVOUR_YEAR = (
    '"optimizationObjective": {"itemAttribute": "YEAR", "objectiveSensitivity": "OBJECTIVE_SENSITIVITY_MEDIUM"}'
)


def test_an_objective_shifts_what_is_recommended_and_is_measured(filled):
    filled.write("items.csv", *(f"i{place:03},,,{1980 + place}," for place in range(40)), header=HEADERS["ITEMS"])
    filled.bring("s3://films/items.csv", kind="ITEMS")
    train(filled, "aws-user-personalization", solution_config=QUICK_V1, location="artifacts/plain")

    config = f"{QUICK_V1[:-1]}, {FAVOUR_YEAR}}}"
    result = train(filled, "aws-user-personalization", solution_config=config)

    assert set(result.metrics) == KEYS | {"average_rewards_at_k"}
    assert 0.0 < result.metrics["average_rewards_at_k"] <= 1.0
    plain, biased = (
        open_artifact(filled.store, f"artifacts/{name}", cache=filled.root / "cache").folder
        for name in ("plain", "films-1")
    )
    biases = np.load(biased / "objective_biases.npy")
    assert (np.diff(biases) > 0).all()
    old, new = (np.load(folder / "item_vectors.npy") for folder in (plain, biased))
    assert new[:, :-1].tobytes() == old[:, :-1].tobytes()
    np.testing.assert_allclose(new[:, -1] - old[:, -1], biases, atol=1e-5)

    # An update applies the objective to the items that there are now, each once.
    updated = train(
        filled, "aws-user-personalization", solution_config=config, location="artifacts/films-2",
        training_mode="UPDATE", base_artifact_location="artifacts/films-1",
    )  # fmt: skip
    assert dict(updated.metrics) == dict(result.metrics)
    again = open_artifact(filled.store, "artifacts/films-2", cache=filled.root / "cache").folder
    np.testing.assert_allclose(np.load(again / "item_vectors.npy"), new, rtol=1e-3, atol=1e-3)


def test_recipes_without_personal_scores_take_no_objective(filled):
    filled.write("items.csv", "i000,,,1980,", header=HEADERS["ITEMS"])
    filled.bring("s3://films/items.csv", kind="ITEMS")
    with pytest.raises(InvalidInput, match=r"optimizationObjective.*aws-popularity-count takes none"):
        train(filled, solution_config=f"{{{FAVOUR_YEAR}}}")


def test_an_objective_needs_items(filled):
    with pytest.raises(InvalidInput, match="itemAttribute`: got 'YEAR', want imported items"):
        train(filled, solution_config=f"{{{FAVOUR_YEAR}}}")
