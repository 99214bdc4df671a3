"""What a worker shows of the states that it answers from, and of its features."""

from __future__ import annotations

from common.telemetry.shared import Block, SharedFigures
from inference.model import ModelLoader
from runtime_service.figures import FIGURES
from runtime_service.serving.deployments import Deployment, DeploymentTable
from runtime_service.serving.states_shown import StateFigures
from tests.common.telemetry.shown import shown
from tests.inference.asking import recent, recommend
from tests.runtime_service.world import WATERMARK, assignment, user


def test_what_answers_started_from_is_counted_once(shelf, tmp_path):
    model = ModelLoader(shelf, cache=tmp_path, index="exact").load("artifacts/personal")
    table, block = DeploymentTable(), Block("worker-0")
    table.serve(deployment := Deployment.make(assignment(), model, cache_users=1))
    figures = StateFigures(table, SharedFigures(block), oldest_features=lambda: 1_700_000_000.5)
    newer = recent((WATERMARK + 1, "watch", 3))

    for _ in range(3):
        recommend(deployment.pipeline, user(1), newer, limit=3)
    recommend(deployment.pipeline, user(2), limit=3)
    recommend(deployment.pipeline, "stranger", limit=3)
    for _ in range(2):
        figures.look()

    samples = shown([block], FIGURES)
    states = {name: samples["tailorbird_user_states_total", name] for name in ("cached", "made", "snapshot", "nobody")}
    assert states == {"cached": 2, "made": 1, "snapshot": 1, "nobody": 1}
    assert samples["tailorbird_features_timestamp_seconds", "worker-0"] == 1_700_000_000.5


def test_counts_begin_anew_where_other_events_count(shelf, tmp_path):
    model = ModelLoader(shelf, cache=tmp_path, index="exact").load("artifacts/personal")
    table, block = DeploymentTable(), Block("worker-0")
    figures = StateFigures(table, SharedFigures(block), oldest_features=lambda: None)
    table.serve(deployment := Deployment.make(assignment(), model, cache_users=1))
    recommend(deployment.pipeline, user(1), limit=3)
    figures.look()

    table.serve(deployment := deployment.reassigned(assignment(event_type="watch")))
    recommend(deployment.pipeline, user(1), limit=3)
    figures.look()

    assert shown([block], FIGURES)["tailorbird_user_states_total", "snapshot"] == 2
