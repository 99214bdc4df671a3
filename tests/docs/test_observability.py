"""docs/observability.md names metrics, ports and settings that there are."""

import importlib
import json
import re
from pathlib import Path

import pytest
import yaml

from cli.system import PROCESSES, Ports
from common.settings import TelemetrySettings
from common.telemetry import CALL_FIGURES
from common.telemetry.workers import WORKER_FIGURES

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "tailorbird.json").read_text())
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
PAGE = (ROOT / "docs" / "observability.md").read_text()


def figures():
    """Return all metrics, by name."""
    counted = (one for name in PROCESSES for one in importlib.import_module(f"{name}.figures").FIGURES)
    return {figure.name: figure for figure in (*CALL_FIGURES, *WORKER_FIGURES, *counted)}


def metrics_in(text):
    """Return the metrics of this project that a text names."""
    named = re.findall(r"\b(?:tailorbird|grpc_server)_[a-z_]+", text)
    return {name.removesuffix("_bucket") for name in named}


def test_every_metric_that_is_named_exists():
    assert metrics_in(PAGE) - figures().keys() == set()
    assert len(metrics_in(PAGE)) > 10


def test_every_metric_of_the_dashboard_is_in_the_reference():
    reference = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    named = metrics_in(" ".join(EXPRESSIONS))
    assert named - set(re.findall(r"^\| `(\w+)` \|", reference, flags=re.MULTILINE)) == set()
    assert len(named) > 10


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=range(len(EXPRESSIONS)))
def test_the_dashboard_asks_by_labels_that_its_metrics_have(expression):
    """A label that is misspelt finds nothing, and no error tells so."""
    labels = {label for name in metrics_in(expression) for label in (*figures()[name].labels, "worker")}
    grouped = re.findall(r"by \(([^)]*)\)", expression)
    selected = re.findall(r"(\w+)=~?\"", expression)
    named = {label.strip() for group in grouped for label in group.split(",")} | set(selected)
    assert named - labels - {"le", "process", "instance"} == set()


def test_the_dashboard_has_a_place_and_a_meaning_for_each_of_its_panels():
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)
    assert all(panel["title"] and panel["description"] for panel in DASHBOARD["panels"])


def test_the_ports_are_those_of_up():
    (job,) = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text())["scrape_configs"]
    ports = Ports(metrics=True)
    assert {target["labels"]["process"]: target["targets"] for target in job["static_configs"]} == {
        process: [ports.metrics_address(process)] for process in PROCESSES
    }


def test_the_files_that_provision_grafana_are_yaml():
    sources, dashboards = (yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL))
    assert [source["type"] for source in sources["datasources"]] == ["prometheus"]
    assert [provider["type"] for provider in dashboards["providers"]] == ["file"]


def test_every_setting_is_told():
    for name in TelemetrySettings.model_fields:
        assert f"TAILORBIRD_{name.upper()}" in PAGE
