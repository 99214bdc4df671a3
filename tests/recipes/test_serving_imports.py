"""What serving loads by name, where the linter cannot see it: no scorer brings along what only fitting needs."""

import subprocess
import sys

import pytest

from recipes.catalog import RECIPES

PROGRAM = """
import importlib
import sys
from recipes.catalog import get_recipe
# Numba loads SciPy where it is installed: nothing may need it.
sys.modules["scipy"] = None
importlib.import_module(get_recipe(sys.argv[1]).scorer.partition(":")[0])
print(*sorted({"jax", "optax", "polars", "deltalake"} & set(sys.modules)))
"""


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_scorer_is_loaded_without_what_fitting_needs(name):
    done = subprocess.run([sys.executable, "-c", PROGRAM, name], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
