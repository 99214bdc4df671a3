"""`tailorbird top` and the figures that it reads, against a whole system on free ports."""

from __future__ import annotations

import importlib
import json

import boto3
import httpx
import pytest

from cli.app import Env, app, run
from cli.installation import Installation, Running
from cli.system import PROCESSES, Ports
from common.telemetry import CALL_FIGURES
from common.telemetry.workers import WORKER_FIGURES
from common.testing import wait_until
from tests.cli.commands.test_up import free_base, ready
from tests.common.telemetry.receiver import collector


@pytest.fixture(scope="module")
def received():
    with collector() as made:
        yield made


@pytest.fixture(scope="module")
def system(tmp_path_factory, received):
    folder = tmp_path_factory.mktemp("top")
    environ = {"TAILORBIRD_WORKERS": "2", "TAILORBIRD_OTLP_ENDPOINT": received.endpoint}
    with ready(folder, base=free_base(10), options=["--metrics"], environ=environ) as running:
        yield Ports(running.ports.base, metrics=True), folder / "data"


def test_every_process_is_shown_with_its_calls_and_the_state_of_the_rest(system, capsys):
    ports, data_dir = system

    def look():
        httpx.get(f"{ports.endpoint}/health")
        httpx.post(ports.endpoint, content=b"{}", headers={"x-amz-target": "AmazonPersonalize.ListSchemas"})
        assert (
            run(app, Env(environ={}), ["top", "--data-dir", str(data_dir), "--once", "--json", "--every", "0.3"]) == 0
        )
        return json.loads(capsys.readouterr().out)

    def is_up():
        return {row["process"]: row["state"] for row in look()["processes"]} == dict.fromkeys(PROCESSES, "up")

    wait_until(is_up, seconds=60)
    shown = look()
    assert shown["runtime"]["deployments"] == 0
    assert shown["jobs"]["oldest_waiting_seconds"] == 0.0
    # The tail of the runtime's host reads the log once it is there.
    wait_until(lambda: look()["runtime"]["event_lag"] == 0)


def test_the_terminal_gets_tables(system, capsys):
    _, data_dir = system
    assert run(app, Env(environ={}), ["top", "--data-dir", str(data_dir), "--once", "--every", "0.1"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in (*PROCESSES, "Calls", "Runtime", "Jobs"))


def test_what_processes_show_is_in_the_reference_with_its_type_and_labels(system):
    ports, _ = system
    seen = set()
    for process in PROCESSES:
        served = () if process == "gateway" else CALL_FIGURES
        declared = (*served, *WORKER_FIGURES, *importlib.import_module(f"{process}.figures").FIGURES)
        figures = {figure.name: figure for figure in declared}
        text = httpx.get(f"http://{ports.metrics_address(process)}/metrics").text
        types = dict(line.split()[2:] for line in text.splitlines() if line.startswith("# TYPE"))
        for name, kind in types.items():
            assert kind == figures[name].kind
            seen.add(name)
    # Those that an installation without data, calls and failures has.
    assert {"grpc_server_handled_total", "tailorbird_jobs", "tailorbird_log_end_offset"} <= seen
    assert {"tailorbird_tail_next_offset", "tailorbird_deployments_serving", "tailorbird_trainer_jobs_running"} <= seen


def test_workers_of_one_service_are_shown_together(system):
    ports, _ = system

    def serving():
        text = httpx.get(f"http://{ports.metrics_address('runtime_service')}/metrics").text
        return {line for line in text.splitlines() if line.startswith("tailorbird_deployments_serving{")}

    # The system is ready when one worker is.
    both = {f'tailorbird_deployments_serving{{worker="worker-{n}"}} 0.0' for n in (0, 1)}
    wait_until(lambda: serving() == both, seconds=60)


def test_one_trace_leads_from_the_gateway_to_the_runtime(system, received):
    ports, data_dir = system
    key = Installation(data_dir).access_keys().create("traces")
    client = boto3.client(
        "personalize-runtime",
        endpoint_url=ports.endpoint,
        region_name="us-east-1",
        aws_access_key_id=key.access_key_id,
        aws_secret_access_key=key.secret_access_key,
    )
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_recommendations(campaignArn="arn:aws:personalize:us-east-1:000000000000:campaign/x", userId="1")

    def services():
        spans = {one.service: one for one in received.spans if one.name.endswith("GetRecommendations")}
        return spans if len(spans) == 2 else None

    spans = wait_until(services)
    gateway, runtime = spans["gateway"], spans["runtime_service"]
    assert (runtime.trace_id, runtime.parent_id) == (gateway.trace_id, gateway.span_id)
    assert gateway.attributes == {"http.response.status_code": "404"}
    assert runtime.attributes["rpc.status"] == "NOT_FOUND"


@pytest.mark.parametrize("is_running", [True, False])
def test_without_figures_it_says_how_to_get_them(tmp_path, capsys, is_running):
    installation = Installation(tmp_path)
    installation.prepare()
    if is_running:
        with installation.lock(Running(1, "http://127.0.0.1:7400")):
            assert run(app, Env(environ={}), ["top", "--data-dir", str(tmp_path), "--once"]) == 1
        assert "tailorbird up --metrics" in " ".join(capsys.readouterr().err.split())
    else:
        assert run(app, Env(environ={}), ["top", "--data-dir", str(tmp_path), "--once"]) == 1
        assert "no `tailorbird up` runs" in " ".join(capsys.readouterr().err.split())
