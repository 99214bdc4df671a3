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
from tests.control_plane.world import EVERYTHING

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


@pytest.mark.parametrize("number", [0, 1], ids=["custom group", "domain group"])
@pytest.mark.parametrize(("arguments", "code"), [(["--dry-run"], 0), (["--prune", "--dry-run"], 0), ([], 0)])
def test_the_files_of_the_page_are_applied_and_then_have_nothing_to_do(files, system, number, arguments, code):
    assert run(app, Env(environ={}), ["apply", str(files[number]), *system.options]) == 0
    assert run(app, Env(environ={}), ["apply", str(files[number]), *arguments, *system.options]) == code


def test_the_file_of_a_domain_group_is_planned_as_it_is_written_and_then_made(files, tmp_path):
    with backend(tmp_path / "system") as system, system.working():
        with system.api() as api:
            steps = plan(load(files[1], buckets=None), Reader(api)).steps
        assert run(app, Env(environ={}), ["apply", str(files[1]), *system.options]) == 0
        recommenders, _ = system.world.resources.recommenders.list(EVERYTHING, dataset_group_arn=None)

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
    assert [(row.name, row.status) for row in recommenders.items] == [("series-most-popular", "ACTIVE")]


def test_exit_codes_of_the_page_are_those_of_the_command():
    assert f"| {CHANGES} | of `--dry-run`: the plan has steps |" in PAGE
