"""The table of programs: each kind of recipe has steps, and they name stages that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import trainer
from recipes.spec import RecipeKind
from trainer.training.programs import PROGRAMS, update_steps
from trainer.training.progress import STAGES


def test_every_kind_of_recipe_has_a_program():
    assert set(PROGRAMS) == set(RecipeKind)


@pytest.mark.parametrize("steps", [*PROGRAMS.values(), *map(update_steps, RecipeKind)])
def test_stages_are_named_in_the_order_of_the_table(steps):
    assert list(steps.stage_names) == [name for name in STAGES if name in steps.stage_names]


def modules_that_match(pattern):
    root = Path(trainer.__file__).parent
    return {
        str(path.relative_to(root)) for path in root.rglob("*.py") if re.search(pattern, path.read_text(), re.MULTILINE)
    }


def test_families_of_models_are_known_to_programs_alone():
    importers = modules_that_match(r"^\s*(import|from) recipes\.models")
    assert importers
    # Segments are made by what one family alone can do.
    assert {path for path in importers if not path.startswith("training/programs/")} == {"batch/segment_parts.py"}
