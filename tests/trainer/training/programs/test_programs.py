"""The table of programs: each kind of recipe has steps, and they name stages that there are."""

from __future__ import annotations

import pytest

from recipes.spec import RecipeKind
from trainer.training.programs import PROGRAMS
from trainer.training.programs.incremental_update import IncrementalUpdateSteps
from trainer.training.progress import STAGES


def test_every_kind_of_recipe_has_a_program():
    assert set(PROGRAMS) == set(RecipeKind)


@pytest.mark.parametrize("steps", [*PROGRAMS.values(), IncrementalUpdateSteps])
def test_stages_are_named_in_the_order_of_the_table(steps):
    assert list(steps.stage_names) == [name for name in STAGES if name in steps.stage_names]
