"""Pages say what they say once: two versions of a page that were joined by mistake are seen."""

from collections import Counter
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_PAGES = sorted(
    page.relative_to(_ROOT).as_posix()
    for folder in ("docs", "benchmarks", "recipes", "clients", "deploy")
    for page in (_ROOT / folder).rglob("*.md")
)
#: A paragraph of fewer letters may come again: a command, the head of a table.
_LONG = 120


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", *_PAGES])
def test_a_page_has_each_heading_and_each_paragraph_once(page: str) -> None:
    text = (_ROOT / page).read_text()
    paragraphs = [part.strip() for part in text.split("\n\n")]
    # Two faults may be guarded by the same tests.
    long = (part for part in paragraphs if len(part) >= _LONG and not part.startswith(("Guarded by", "#")))
    headings = (line for line in text.splitlines() if line.startswith("## "))
    repeated = [part for part, count in Counter([*long, *headings]).items() if count > 1]
    assert not repeated
