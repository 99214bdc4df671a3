"""A fit loads what it needs and no more: who reads one recipe reads these modules, so another one needs a reason."""

import subprocess
import sys

import pytest

PROGRAM = """
import importlib
import sys
importlib.import_module(sys.argv[1])
print(*sorted(name for name in sys.modules if name.startswith("recipes.")))
"""

#: Modules of recipes that the fit of a folder of `recipes/models` loads at most, packages included.
BOUNDS = {"sasrec": 64, "gru": 65, "ease": 38, "popularity": 21}


def modules(name):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, f"recipes.models.{name}.fit"], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize(("name", "bound"), BOUNDS.items())
def test_a_fit_loads_few_modules(name, bound):
    loaded = modules(name)
    assert f"recipes.models.{name}.fit" in loaded
    assert len(loaded) <= bound, loaded


def test_a_fit_loads_neither_other_recipes_nor_an_index():
    others = ("recipes.models.gru", "recipes.models.ease", "recipes.retrieval.annoy", "recipes.evaluation.metrics")
    assert [name for name in modules("sasrec") if name.startswith(others)] == []
