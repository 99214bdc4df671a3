"""Compiled functions are compiled once for all processes, and also where nothing can be written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from common.compiled import compiled

@compiled
def total(numbers, limit):
    found = 0
    for number in numbers:
        if number < limit:
            found += number
    return found

import numpy as np
print(total(np.arange(5), 3), sum(total.stats.cache_hits.values()))
"""


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "readable" / "program.py"
    path.parent.mkdir()
    path.write_text(PROGRAM)
    return path


def run(program, *, cache):
    folders = {"PYTHONPATH": str(Path(__file__).parents[2]), "HOME": str(cache), "XDG_CACHE_HOME": str(cache)}
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"} | folders
    done = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_the_second_process_loads_what_the_first_has_compiled(program, tmp_path):
    assert run(program, cache=tmp_path) == ["3", "0"]
    assert run(program, cache=tmp_path) == ["3", "1"]


def test_a_process_that_can_write_nowhere_compiles_for_itself(program, tmp_path):
    # A file where a folder would have to be stops also who may do everything.
    (program.parent / "__pycache__").write_text("")
    (tmp_path / "cache").write_text("")

    assert run(program, cache=tmp_path / "cache") == ["3", "0"]
