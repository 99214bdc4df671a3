"""The pages of docs/reference say what the code says, and links between the pages lead somewhere."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("operations.md", "settings.md", "errors.md", "metrics.md")
LINK = re.compile(r"\[[^\]]*\]\((?!https?://|#)([^)#\s]+)[^)]*\)")


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generated(generator):
    return generator.pages()


def test_every_page_of_the_reference_is_generated(generated):
    assert set(generated) == set(PAGES) == {path.name for path in (ROOT / "docs" / "reference").glob("*")}


@pytest.mark.parametrize("name", PAGES)
def test_page_and_code_agree(generated, name):
    page = (ROOT / "docs" / "reference" / name).read_text()
    assert page == generated[name], "run `make docs` and commit the result"


def test_up_knows_the_settings_of_each_process(generator):
    assert (ROOT / "cli" / "settings.json").read_text() == generator.variables(), "run `make docs`, commit the result"


def test_all_operations_are_listed(generated):
    ours = generated["operations.md"].index("Tailorbird's own")

    assert len(re.findall(r"^\| `\w+` \|$", generated["operations.md"][:ours], re.MULTILINE)) == 79


def test_our_own_operations_are_listed_apart(generated):
    _, *ours = generated["operations.md"].split("Tailorbird's own")

    assert ["| `CompareSolutionVersions` |" in service for service in ours] == [True, False]
    assert ["| `CreateUserSearch` |" in service for service in ours] == [False, True]


@pytest.mark.parametrize("name", PAGES)
def test_no_cell_is_broken_by_its_text(generated, name):
    tables = [line for line in generated[name].splitlines() if line.startswith("|")]
    widths = {re.sub(r"`[^`]*`", "", line).count("|") for line in tables}
    assert len(widths) == 1


def test_every_setting_has_a_meaning(generated):
    assert "| None |" not in generated["settings.md"]


@pytest.mark.parametrize(
    "page",
    [
        path.relative_to(ROOT)
        for path in [*ROOT.glob("*.md"), *ROOT.glob("benchmarks/*.md"), *ROOT.glob("docs/**/*.md")]
    ],
    ids=str,
)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text()
    assert [link for link in LINK.findall(text) if not (ROOT / page.parent / link).exists()] == []
