"""Lines of many processes, as one readable log."""

import io
import json

import pytest

from cli.merged_log import MergedLog
from common.clock import ManualClock


@pytest.fixture
def stream():
    return io.StringIO()


@pytest.fixture
def log(stream):
    return MergedLog(["gateway", "control_plane"], console=MergedLog.file_console(stream), clock=ManualClock())


def test_a_json_line_becomes_aligned_text(log, stream):
    line = {
        "event": "serving",
        "port": 7401,
        "level": "info",
        "service": "gateway",
        "timestamp": "2026-01-01T10:20:30Z",
    }
    log.line("gateway", json.dumps(line))
    assert stream.getvalue()[8:] == "  gateway        serving  port=7401\n"


def test_columns_of_different_processes_start_at_one_place(log, stream):
    log.line("gateway", '{"event": "a"}')
    log.line("control_plane", '{"event": "a"}')
    log.note("a")
    assert len({line.index("a", 25) for line in stream.getvalue().splitlines()}) == 1


def test_other_lines_are_passed_through(log, stream):
    log.line("gateway", "Segmentation fault [core dumped]")
    assert stream.getvalue().endswith("  Segmentation fault [core dumped]\n")


def test_broken_json_is_passed_through(log, stream):
    log.line("gateway", '{"event": ')
    assert stream.getvalue().endswith('  {"event": \n')


def test_json_that_is_no_event_is_passed_through(log, stream):
    log.line("gateway", '{"a": 1}')
    assert stream.getvalue().endswith('  {"a": 1}\n')


def test_errors_say_so(log, stream):
    log.line("gateway", '{"event": "it broke", "level": "error"}')
    assert "error: it broke" in stream.getvalue()


def test_a_trace_stands_below_its_line(log, stream):
    log.line("gateway", json.dumps({"event": "it broke", "level": "error", "exception": "Traceback:\n  ValueError"}))
    assert [line.strip() for line in stream.getvalue().splitlines()[1:]] == ["Traceback:", "ValueError"]


def test_text_with_spaces_is_quoted(log, stream):
    log.note("stopping", reason="two words", process="gateway")
    assert "reason='two words'  process=gateway" in stream.getvalue()


def test_markup_in_a_line_is_no_markup(log, stream):
    log.line("gateway", "[bold]not bold[/bold]")
    assert "[bold]not bold[/bold]" in stream.getvalue()
