"""What holds for all tests."""

import os
import tempfile


def pytest_configure(config):
    # Most trainings here are processes of their own, which would spend half of their time on compiling the same again.
    compiled = tempfile.TemporaryDirectory(prefix="tailorbird-tests-")
    config.add_cleanup(compiled.cleanup)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = compiled.name
