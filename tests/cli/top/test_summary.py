"""Rates, times and states from two looks at the figures."""

from __future__ import annotations

import math

import pytest

from cli.top import Scrape, as_tables, summarize
from cli.top.summary import quantile

PUBLIC = {"grpc_service": "tailorbird.runtime.v1.RuntimeService", "grpc_method": "GetRecommendations"}
POLL = {"grpc_service": "tailorbird.internal.v1.ServingService", "grpc_method": "WatchServingAssignments"}


def looks(process, *changes, seconds=2.0):
    """Return two looks: what each sample was, and what it became."""
    before = {(name, frozenset(labels.items())): old for name, labels, old, _ in changes if old is not None}
    after = {(name, frozenset(labels.items())): new for name, labels, _, new in changes}
    return [Scrape(process, 10.0, before)], [Scrape(process, 10.0 + seconds, after)]


def test_calls_errors_and_refusals_are_told_by_second_and_polls_between_processes_do_not_count():
    handled = "grpc_server_handled_total"
    summary = summarize(
        *looks(
            "runtime_service",
            (handled, {**PUBLIC, "grpc_code": "OK"}, 100.0, 160.0),
            (handled, {**PUBLIC, "grpc_code": "INTERNAL"}, None, 4.0),
            (handled, {**PUBLIC, "grpc_code": "NOT_FOUND"}, 3.0, 5.0),
            (handled, {**PUBLIC, "grpc_code": "RESOURCE_EXHAUSTED"}, 0.0, 8.0),
            (handled, {**POLL, "grpc_code": "OK"}, 0.0, 1000.0),
        )
    )
    (row,) = summary.processes
    assert (row.state, row.calls_per_second) == ("up", 37.0)
    assert (row.errors_per_second, row.throttled_per_second) == (2.0, 4.0)
    assert row.p50_millis is None


def test_requests_of_the_gateway_count_by_their_status():
    requests = "tailorbird_gateway_requests_total"
    summary = summarize(
        *looks(
            "gateway",
            (requests, {"operation": "PutEvents", "status": "200"}, 0.0, 6.0),
            (requests, {"operation": "PutEvents", "status": "503"}, 0.0, 2.0),
            (requests, {"operation": "GetRecommendations", "status": "429"}, 0.0, 4.0),
        )
    )
    (row,) = summary.processes
    assert (row.calls_per_second, row.errors_per_second, row.throttled_per_second) == (6.0, 1.0, 2.0)


def test_a_process_that_was_started_anew_in_between_counts_from_zero():
    summary = summarize(
        *looks("events_service", ("grpc_server_handled_total", {**PUBLIC, "grpc_code": "OK"}, 1000.0, 10.0))
    )
    assert summary.processes[0].calls_per_second == 5.0


def test_times_come_from_the_calls_in_between():
    bucket = "grpc_server_handling_seconds_bucket"
    summary = summarize(
        *looks(
            "runtime_service",
            (bucket, {**PUBLIC, "le": "0.001"}, 1000.0, 1050.0),
            (bucket, {**PUBLIC, "le": "0.002"}, 1000.0, 1100.0),
            (bucket, {**PUBLIC, "le": "+Inf"}, 1000.0, 1100.0),
        )
    )
    assert summary.processes[0].p50_millis == pytest.approx(1.0)
    assert summary.processes[0].p99_millis == pytest.approx(1.98)


@pytest.mark.parametrize(
    ("buckets", "share", "expected"),
    [
        ({}, 0.5, None),
        ({1.0: 0.0, math.inf: 0.0}, 0.5, None),
        ({1.0: 4.0, 2.0: 4.0, math.inf: 4.0}, 0.5, 0.5),
        ({1.0: 0.0, 2.0: 4.0, math.inf: 4.0}, 0.25, 1.25),
        ({1.0: 1.0, math.inf: 4.0}, 0.99, 1.0),
    ],
)
def test_quantiles_are_interpolated_within_a_bucket(buckets, share, expected):
    assert quantile(buckets, share) == expected


def test_the_runtime_lags_by_what_the_log_has_more():
    before = [Scrape("events_service", 0.0, {}), Scrape("runtime_service", 0.0, {})]
    after = [
        Scrape("events_service", 2.0, {("tailorbird_log_end_offset", frozenset()): 120.0}),
        Scrape(
            "runtime_service",
            2.0,
            {
                ("tailorbird_tail_next_offset", frozenset()): 100.0,
                ("tailorbird_tail_read_timestamp_seconds", frozenset()): 1_000.0,
                ("tailorbird_deployments_serving", frozenset({("worker", "worker-0")})): 3.0,
                ("tailorbird_deployments_serving", frozenset({("worker", "worker-1")})): 2.0,
                ("tailorbird_answers_total", frozenset({("proven", "true")})): 9.0,
                ("tailorbird_answers_total", frozenset({("proven", "false")})): 1.0,
            },
        ),
    ]
    state = summarize(before, after, now=1_004.0).runtime
    assert (state.event_lag, state.silent_seconds, state.deployments) == (20, 4.0, 2)
    assert state.proven_share == pytest.approx(0.9)


def test_jobs_are_told_by_kind():
    after = [
        Scrape(
            "control_plane",
            2.0,
            {
                ("tailorbird_jobs", frozenset({("kind", "dataset_import"), ("state", "waiting")})): 2.0,
                ("tailorbird_jobs", frozenset({("kind", "dataset_export"), ("state", "waiting")})): 0.0,
                ("tailorbird_jobs", frozenset({("kind", "solution_version_training"), ("state", "leased")})): 1.0,
                ("tailorbird_job_oldest_waiting_seconds", frozenset()): 7.5,
            },
        )
    ]
    jobs = summarize([Scrape("control_plane", 0.0, {})], after).jobs
    assert jobs.queued == {"dataset_import": 2}
    assert jobs.running == {"solution_version_training": 1}
    assert jobs.oldest_waiting_seconds == 7.5


def test_tables_show_who_does_not_answer_and_steer_no_terminal(capsys):
    from rich.console import Console

    summary = summarize([Scrape("gateway", 0.0)], [Scrape("gateway", 2.0, error="refused\x1b[2J")])
    Console(width=120).print(as_tables(summary))
    shown = capsys.readouterr().out
    assert "gateway" in shown
    assert "refused\\x1b[2J" in shown
