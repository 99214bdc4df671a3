"""docs/observability.md names metrics, ports and settings that there are."""

import importlib
import re
from pathlib import Path

from cli.system import PROCESSES, Ports
from common.settings import TelemetrySettings
from common.telemetry import CALL_FIGURES

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "observability.md").read_text()


def test_every_metric_that_is_named_exists():
    figures = [
        *CALL_FIGURES,
        *(one for name in PROCESSES for one in importlib.import_module(f"{name}.figures").FIGURES),
    ]
    named = set(re.findall(r"\b(?:tailorbird|grpc_server)_[a-z_]+", PAGE))
    assert {name.removesuffix("_bucket") for name in named} - {figure.name for figure in figures} == set()
    assert len(named) > 10


def test_the_ports_are_those_of_up():
    targets = re.findall(r'targets: \["([^"]+)"\]\n +labels: \{process: (\w+)\}', PAGE)
    ports = Ports(metrics=True)
    assert {process: address for address, process in targets} == {
        process: ports.metrics_address(process) for process in PROCESSES
    }


def test_every_setting_is_told():
    for name in TelemetrySettings.model_fields:
        assert f"TAILORBIRD_{name.upper()}" in PAGE
