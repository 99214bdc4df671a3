"""What passes a filter that is used again gets a search of its own, for which no request waits."""

from __future__ import annotations

import threading

import pytest
from structlog.testing import capture_logs

from common.testing import wait_until
from inference import filter_table
from inference.filter_table import FilterTable
from inference.model import ModelLoader
from protos.tailorbird.runtime.v1 import runtime_service_pb2 as messages
from recipes.retrieval.scan import ScanIndex
from runtime_service.features import request_filters
from tests.runtime_service.features.running import filter_arn, group_message
from tests.runtime_service.servicers.wire import as_role, ids
from tests.runtime_service.world import N_ITEMS, campaign, item, user

GROUP = "arn:aws:personalize:us-east-1:000000000000:dataset-group/searched"
#: The same items pass each; every test has one of its own.
FILTERS = dict.fromkeys(("slow", "late", "broken"), 'INCLUDE ItemID WHERE Items.T1 = "even"')
EVEN = {item(number) for number in range(0, N_ITEMS, 2)}


@pytest.fixture(scope="module")
def name(runtime, shelf, tmp_path_factory):
    """Serve a model with a scan from a group in which half of the items pass a filter; return the campaign."""
    loader = ModelLoader(shelf, cache=tmp_path_factory.mktemp("searched"), index="scan")
    runtime.models["searched"] = loader.load("artifacts/personal")
    made = runtime.serve("searched", GROUP)
    runtime.assign(group_message(GROUP, {"ITEMS": None}, FILTERS))
    for number in range(0, N_ITEMS, 2):
        last = runtime.put(GROUP, "ITEMS", item(number), '{"t1": "even"}')
    runtime.wait_for_puts(GROUP, "ITEMS", last)
    return made


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Let twenty items be worth a search."""
    monkeypatch.setattr(filter_table, "_LEAST_SEARCHED", 2)


@pytest.fixture
def kept(runtime, name):
    """Give what returns the part of a filter that is kept."""

    def run(label):
        table = runtime.server.loop.run(
            runtime.follower.filter_table(runtime.deployments.find(campaign(name)), "ITEMS")
        )
        definition = runtime.follower.find(GROUP).meaning.filters[filter_arn(label)]
        return table.kept_part(filter_arn(label), definition, {})

    return run


def recommend(runtime, name, label):
    return ids(runtime.recommend(name, user_id=user(0), num_results=10, filter_arn=filter_arn(label)))


def test_no_request_waits_until_what_passes_can_be_searched(runtime, name, kept, monkeypatch):
    go_on, narrowed = threading.Event(), ScanIndex.narrowed

    def narrowed_late(scan, allowed):
        assert go_on.wait(20.0)
        return narrowed(scan, allowed)

    monkeypatch.setattr(ScanIndex, "narrowed", narrowed_late)
    try:
        recommended = [recommend(runtime, name, "slow") for _ in range(4)]
        assert kept("slow").candidates.search() is None
    finally:
        go_on.set()

    wait_until(lambda: kept("slow").candidates.search() is not None)
    recommended.append(recommend(runtime, name, "slow"))
    assert set(recommended[0]) <= EVEN
    assert recommended == 5 * [recommended[0]]


def test_a_filter_that_was_slow_to_compile_takes_no_search_from_one_that_was_faster(runtime, name, kept, monkeypatch):
    monkeypatch.setattr(request_filters, "_INLINE_ROWS", 0)
    began, go_on, compiled = threading.Event(), threading.Event(), FilterTable.compiled

    def first_compiled_late(table, *arguments, **named):
        if not began.is_set():
            began.set()
            assert go_on.wait(60.0)
        return compiled(table, *arguments, **named)

    monkeypatch.setattr(FilterTable, "compiled", first_compiled_late)
    request = messages.GetRecommendationsRequest(
        campaign_arn=campaign(name), user_id=user(0), num_results=10, filter_arn=filter_arn("late")
    )
    late = runtime.stub.GetRecommendations.future(request, metadata=as_role("client"), timeout=60)
    try:
        assert began.wait(60.0)
        recommended = [recommend(runtime, name, "late") for _ in range(2)]
        wait_until(lambda: kept("late").candidates.search() is not None)
        part = kept("late")
    finally:
        go_on.set()

    assert ids(late.result(60.0)) == recommended[0]
    assert kept("late") is part


def test_a_search_that_cannot_be_made_is_logged_and_requests_are_answered_without_it(runtime, name, kept, monkeypatch):
    def broken(scan, allowed):
        raise RuntimeError("a bug")

    monkeypatch.setattr(ScanIndex, "narrowed", broken)
    with capture_logs() as logs:
        recommended = [recommend(runtime, name, "broken") for _ in range(4)]
        failed = wait_until(lambda: [entry for entry in logs if entry["event"] == "filter_search_not_made"])

    assert [(entry["filter_arn"], str(entry["exc_info"])) for entry in failed] == [(filter_arn("broken"), "a bug")]
    assert kept("broken").candidates.search() is None
    assert set(recommended[0]) <= EVEN
    assert recommended == 4 * [recommended[0]]
