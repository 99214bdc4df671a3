"""No benchmark command is without a small run, so that none stops working unnoticed."""

from pathlib import Path

import benchmarks
from tests.benchmarks.commands import small_runs

ROOT = Path(benchmarks.__file__).parent
#: Started by other commands, not by people; rectools_sasrec wants an environment with PyTorch, which is gigabytes.
PARTS = {
    "benchmarks.echo",
    "benchmarks.empty_app",
    "benchmarks.faults.crash_campaign",
    "benchmarks.faults.forked_services",
    "benchmarks.load.clients",
    "benchmarks.put_clients",
    "benchmarks.quality.rectools_sasrec",
    "benchmarks.ray_nodes",
    "benchmarks.lesser_runtime",
}


def test_every_command_has_a_small_run():
    guarded = {
        ".".join(("benchmarks", *path.relative_to(ROOT).with_suffix("").parts))
        for path in ROOT.rglob("*.py")
        if '\nif __name__ == "__main__":\n' in path.read_text()
    }
    assert guarded - PARTS - {"benchmarks.quality.__main__"} == set(small_runs.COMMANDS)


def test_every_small_run_is_run_by_a_module():
    groups = {name for name, value in vars(small_runs).items() if name.isupper() and isinstance(value, dict)}
    modules = {path.stem.removeprefix("test_").upper() for path in Path(__file__).parent.glob("test_*.py")}
    assert groups - {"COMMANDS"} == modules - {"EVERY_COMMAND"}
