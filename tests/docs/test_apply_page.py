"""docs/apply.md does what it says: its files are applied to a real control plane, and then have nothing to do."""

import re
from pathlib import Path

import pytest

from cli.app import Env, app, run
from cli.commands.apply import CHANGES
from cli.declaration.existing import Reader
from cli.declaration.load import load
from cli.declaration.planner import plan
from tests.cli.declaration.backend import backend

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "apply.md").read_text()


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    with backend(tmp_path_factory.mktemp("page") / "system") as made, made.working():
        yield made


@pytest.fixture
def files(tmp_path):
    """Return the files of the page: the first of a custom group, the second of a domain group."""
    paths = []
    for number, text in enumerate(re.findall(r"^```yaml\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)):
        paths.append(tmp_path / f"{number}.yaml")
        paths[-1].write_text(text)
    return paths


@pytest.mark.parametrize(("arguments", "code"), [(["--dry-run"], 0), (["--prune", "--dry-run"], 0), ([], 0)])
def test_the_file_of_a_custom_group_is_applied(files, system, arguments, code):
    assert run(app, Env(environ={}), ["apply", str(files[0]), *system.options]) == 0
    assert run(app, Env(environ={}), ["apply", str(files[0]), *arguments, *system.options]) == code


def test_the_file_of_a_domain_group_is_planned(files, system):
    with system.api() as api:
        steps = plan(load(files[1], buckets=None), Reader(api)).steps
    assert [step.title for step in steps] == [
        "schema series-interactions",
        "dataset group series",
        "dataset series/INTERACTIONS",
        "dataset import job series/INTERACTIONS/series-watched",
        "filter series/unseen",
        "solution series/series-related",
        "solution version series/series-related",
        "campaign series/series-related/series-related-web",
        "recommender series/series-most-popular",
    ]


def test_exit_codes_of_the_page_are_those_of_the_command():
    assert f"| {CHANGES} | of `--dry-run`: the plan has steps |" in PAGE
