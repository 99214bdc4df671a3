"""What the trainer's processes load when they start: each waits for it, and most of them need only a part."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = "import sys, {0}; print(*sorted({1} & set(sys.modules)))"


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        # What compiles and what fits is loaded where a job needs it, which is in processes of its own.
        ("trainer.__main__", {"jax", "llvmlite", "numba", "optax", "optuna", "ray", "scipy"}),
        # It holds no channel.
        ("trainer.training.subprocess_main, trainer.training.programs", {"grpc"}),
    ],
)
def test_a_process_does_not_load_what_it_has_no_use_for(modules, unwanted):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(modules, unwanted)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
