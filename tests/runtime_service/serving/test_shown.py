"""What a worker shows of what it serves."""

from __future__ import annotations

from common.telemetry.shared import Block, SharedFigures
from runtime_service.figures import FIGURES
from runtime_service.serving.deployments import DeploymentTable
from runtime_service.serving.shown import TableFigures
from tests.common.telemetry.shown import shown


def test_what_callers_rely_on_and_is_not_served_is_missing():
    block, table = Block("worker-0"), DeploymentTable()
    figures = TableFigures(table, SharedFigures(block))
    table.expect(["arn:one", "arn:two"])
    figures.look()
    assert shown([block], FIGURES)["tailorbird_deployments_missing", "worker-0"] == 2

    table.expect([])
    figures.look()
    samples = shown([block], FIGURES)
    assert samples["tailorbird_deployments_missing", "worker-0"] == 0
    assert samples["tailorbird_deployments_serving", "worker-0"] == 0
