"""What a worker shows of what it serves."""

from __future__ import annotations

import numpy as np
import pytest

from common.telemetry.shared import Block, SharedFigures
from inference.model import ModelLoader
from inference.new_items import NewItems
from runtime_service.figures import FIGURES
from runtime_service.serving.deployments import Deployment, DeploymentTable
from runtime_service.serving.shown import TableFigures
from tests.common.telemetry.shown import shown
from tests.inference.asking import recommend
from tests.runtime_service.world import assignment, user


@pytest.fixture
def block():
    return Block("worker-0")


@pytest.fixture
def table():
    return DeploymentTable()


@pytest.fixture
def figures(table, block):
    return TableFigures(table, SharedFigures(block))


def test_what_callers_rely_on_and_is_not_served_is_missing(table, figures, block):
    table.expect(["arn:one", "arn:two"])
    figures.look()
    assert shown([block], FIGURES)["tailorbird_deployments_missing", "worker-0"] == 2

    table.expect([])
    figures.look()
    samples = shown([block], FIGURES)
    assert samples["tailorbird_deployments_missing", "worker-0"] == 0
    assert samples["tailorbird_deployments_serving", "worker-0"] == 0


def test_answers_are_counted_once_and_stay_counted_when_another_deployment_follows(
    table, figures, block, shelf, tmp_path
):
    model = ModelLoader(shelf, cache=tmp_path, index="exact").load("artifacts/personal")
    for number_before in (0, 2):
        deployment = Deployment.make(assignment(), model, cache_users=1)
        table.serve(deployment)
        for n_answers in (1, 2):
            recommend(deployment.pipeline, user(n_answers), limit=3)
            figures.look()
            samples = shown([block], FIGURES)
            assert samples["tailorbird_answers_total", "true"] == number_before + n_answers
            assert samples["tailorbird_answered_items_total",] == 3 * (number_before + n_answers)
    assert samples["tailorbird_answers_total", "false"] == 0
    assert samples["tailorbird_explored_items_total",] == samples["tailorbird_promoted_items_total",] == 0
    assert samples["tailorbird_deployments_serving", "worker-0"] == 1


def test_new_items_are_counted_once_for_all_campaigns_of_a_model(table, figures, block, shelf, tmp_path):
    model = ModelLoader(shelf, cache=tmp_path, index="exact").load("artifacts/personal")
    for name in ("one", "two"):
        table.serve(Deployment.make(assignment(name), model, cache_users=1))
    n_items, width = model.scorer.item_vectors.shape
    model.new_items.current = NewItems.of(
        np.array([n_items, n_items + 2], np.int32), vectors=np.zeros((2, width), np.float32),
        described=np.ones(2, bool), created=np.zeros(2, np.int64), clusters=None, first=n_items,
    )  # fmt: skip

    figures.look()

    assert shown([block], FIGURES)["tailorbird_new_items", "worker-0"] == 2
