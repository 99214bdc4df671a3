"""docs/apply.md does what it says."""

import re
from pathlib import Path

import pytest

from cli.commands.apply import CHANGES
from cli.declaration.load import load

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "apply.md").read_text()


@pytest.fixture
def file(tmp_path):
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    path = tmp_path / "films.yaml"
    path.write_text(text)
    return path


def test_the_file_of_the_page_is_right(file):
    assert set(load(file, buckets=None).configuration.dataset_groups) == {"films"}


def test_exit_codes_of_the_page_are_those_of_the_command():
    assert f"| {CHANGES} | of `--dry-run`: the plan has steps |" in PAGE
