"""Lines of many processes, as one readable log."""

import io
import json
from contextlib import closing

import pytest
from rich.panel import Panel

from cli.merged_log import MergedLog
from common.clock import ManualClock


class Written(io.StringIO):
    """A stream that is read once all that came is written."""

    log: MergedLog

    def getvalue(self):
        assert self.log.flush(seconds=20)
        return super().getvalue()


@pytest.fixture
def stream():
    return Written()


@pytest.fixture
def log(stream):
    stream.log = merged(stream)
    yield stream.log
    stream.log.close()


def merged(stream, **options):
    console = MergedLog.file_console(stream)
    return MergedLog(["gateway", "control_plane"], console=console, clock=ManualClock(), **options)


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


def test_errors_are_marked(log, stream):
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


def test_half_a_character_is_escaped_and_later_lines_are_intact(tmp_path):
    with (tmp_path / "log").open("w", encoding="utf-8") as file, closing(merged(file)) as log:
        log.line("gateway", '{"event": "rpc", "message": "got \\ud800, want an ARN"}')
        log.line("control_plane", '{"event": "serving"}')
        assert log.flush(seconds=20)
    first, second = (tmp_path / "log").read_text().splitlines()
    assert (first.endswith("message='got \\ud800, want an ARN'"), second.endswith("serving")) == (True, True)


def test_a_console_of_few_characters_gets_escapes(tmp_path):
    with (tmp_path / "log").open("w", encoding="ascii") as file, closing(merged(file)) as log:
        log.line("gateway", '{"event": "Käse"}')
        log.print(Panel("box"))
    assert "K\\xe4se" in (tmp_path / "log").read_text(encoding="ascii")


@pytest.mark.parametrize("text", ["\x1b[2J\x1b[1;1Hall is well", '{"event": "\\u001b[2J", "a\\u001b[1m": "x\\u0007"}'])
def test_control_characters_of_terminals_are_escaped(log, stream, text):
    log.line("gateway", text)
    assert "\x1b" not in stream.getvalue()
    assert "\\x1b[2J" in stream.getvalue()


def test_a_line_break_in_a_value_begins_no_new_line(log, stream):
    log.line("gateway", '{"event": "a\\nb", "message": "c\\nd", "e\\nf": 1}')
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    "text",
    [
        '{"event": ' + "[" * 100_000,
        '{"event": "a", "timestamp": "0001-01-01T00:00:00+23:59"}',
        '{"event": null, "n": 1e999}',
    ],
)
def test_hostile_lines_are_shown_and_the_next_one_too(log, stream, text):
    log.line("gateway", text)
    log.line("gateway", '{"event": "the next"}')
    assert len(stream.getvalue().splitlines()) == 2


def test_quiet_leaves_out_lines_and_notes_but_prints_renderables(stream):
    with closing(merged(stream, quiet=True)) as stream.log:
        stream.log.line("gateway", '{"event": "a"}')
        stream.log.note("b")
        stream.log.print("how to use it")
        assert stream.getvalue() == "how to use it\n"
