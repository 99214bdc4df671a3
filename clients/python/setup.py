"""Generates the stubs of the services that applications call, as part of every build."""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
#: Below `protos/tailorbird`: what applications call, and what its messages are made of.
FOLDERS = ("control", "events", "options", "runtime", "storage")


class BuildPy(build_py):
    """The standard build step, followed by the generation of stubs beside what it has copied."""

    def run(self) -> None:
        """Build, then generate."""
        super().run()
        # The folder of the project is not on the path of a build.
        sys.path.insert(0, str(HERE))
        from protos.stub_generator import generate_stubs

        generate_stubs(Path(self.build_lib), folders=FOLDERS)


setup(cmdclass={"build_py": BuildPy})
