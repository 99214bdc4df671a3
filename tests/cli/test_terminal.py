"""Text from files and servers cannot steer the terminal of who calls a command."""

import pytest

from cli.declaration.kinds import Kind
from cli.declaration.output import plan_view, step_line
from cli.declaration.steps import Action, Plan, Ref, Stage, Step
from cli.terminal import escape_controls

STEERING = "\x1b]0;all is well\x07\x1b[2J\x9b1m"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb", "a\\x0ab"),
        ("\x7f\x9b\x85", "\\x7f\\x9b\\x85"),
        ("a\té \U0001f600", "a\té \U0001f600"),
    ],
)
def test_control_characters_are_shown_as_escapes(text, shown):
    assert escape_controls(text) == shown


def test_lines_can_be_kept():
    assert escape_controls("a\r\n\x1bb", keeps_lines=True) == "a\\x0d\n\\x1bb"


def test_plans_do_not_steer_terminals():
    step = Step(Action.UPDATE, Ref(Kind.CAMPAIGN, "c"), f"films/{STEERING}", Stage.CAMPAIGNS, details=(STEERING,))
    lines = [*plan_view(Plan((step,), {})), step_line(step, STEERING)]

    assert [character for line in lines for character in line.plain if not character.isprintable()] == []
    assert "\\x1b]0;all is well" in lines[1].plain


def test_errors_do_not_steer_terminals(tailorbird, tmp_path, capsys):
    (tmp_path / "file.yaml").write_text('datasetGroups: {films: {"a\\e[2J": 1}}')

    assert tailorbird("apply", str(tmp_path / "file.yaml"), "--data-dir", str(tmp_path)) == 1
    error = capsys.readouterr().err
    assert "\x1b[2J" not in error
    assert "a\\x1b[2J" in error
