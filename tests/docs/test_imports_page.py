"""The page on imports: its example is checked as it is written, and gives what it shows."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cli.app import Env, app, run

PAGE = Path(__file__).parents[2] / "docs" / "imports.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture
def example(tmp_path, monkeypatch):
    (_, rows), (_, schema), (_, report) = BLOCKS
    (tmp_path / "plays.csv").write_text(rows)
    (tmp_path / "schema.json").write_text(schema)
    monkeypatch.chdir(tmp_path)
    return report


def test_the_example_is_reported_as_the_page_shows(example, capsys):
    (command,) = re.findall(r"`tailorbird (check plays.csv [^`]*)`", PAGE.read_text())
    assert run(app, Env(environ={}), command.split()) == 1
    assert json.loads(capsys.readouterr().out) == json.loads(example)
