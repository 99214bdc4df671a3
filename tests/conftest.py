"""What holds for all tests."""

import os
import sys
import tempfile

import pytest
from hypothesis import settings

#: Where tests take longest: with whole systems, with many trainings, with long sequences of calls.
LONG = (
    "tests/system/",
    "tests/control_plane/model/",
    "tests/benchmarks/commands/",
    "tests/cli/commands/",
    "tests/trainer/training/",
    "tests/trainer/test_",
    "tests/runtime_service/test_",
    "tests/events_service/",
)


def pytest_configure(config):
    # Hypothesis calls an example slow after 0.2 s, which a busy machine makes of any; in CI it knows better by itself.
    settings.register_profile("any machine", settings(), deadline=None)
    settings.load_profile("any machine")
    # Some machines ask for no compiled modules. Hundreds of processes would then compile all of ours, each anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    # Trainings of tests are so short that most of their time is compiling. It takes a third of it where nothing is
    # optimised and XLA's older emitters are used, and trainings in processes of their own need not do it again.
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false")
    # Processes of tests have more threads than there are processors, and those of OpenBLAS spin while they wait for one
    # another: with one thread in each, as processes of ours have, a fit takes a third of the time.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    compiled = tempfile.TemporaryDirectory(prefix="tailorbird-tests-")
    config.add_cleanup(compiled.cleanup)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = compiled.name


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Begin with the files that take long: at the end no process is left alone with one while the others idle."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))
