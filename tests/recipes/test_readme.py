"""The table of algorithms has every recipe of Personalize beside the folder of its code, and every such folder."""

import re
from pathlib import Path

import pytest

from recipes.catalog import RECIPES

RECIPES_FOLDER = Path(__file__).resolve().parents[2] / "recipes"
PAGE = (RECIPES_FOLDER / "README.md").read_text()
#: Folder and recipes of each row.
ROWS = re.findall(r"^\| [^|]+ \| [^|]+ \| \[(models/\w+)\]\(\1\) \| ([^|]+) \|$", PAGE, re.MULTILINE)
FOLDERS = {recipe: folder for folder, cell in ROWS for recipe in re.findall(r"`(aws-[a-z0-9-]+)`", cell)}


@pytest.mark.parametrize("name", [name for name in RECIPES if name.startswith("aws-")])
def test_every_recipe_of_personalize_stands_beside_its_folder(name):
    _, kind, folder, *_ = RECIPES[name].config.split(".")
    assert FOLDERS[name] == f"{kind}/{folder}"


def test_the_table_names_no_other_recipe():
    assert set(FOLDERS) <= set(RECIPES)


def test_every_algorithm_of_the_catalog_has_a_row():
    folders = {f"models/{spec.config.split('.')[2]}" for spec in RECIPES.values()}
    assert folders <= {folder for folder, _ in ROWS}


def test_every_link_leads_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert len(links) >= len(ROWS) + 8
    assert [link for link in links if not (RECIPES_FOLDER / link).exists()] == []
