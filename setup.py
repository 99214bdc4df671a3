"""Generates the gRPC stubs as part of every build, editable installs included."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

from setuptools import Command, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
PROTOS = ROOT / "protos"


def generate() -> None:
    """Compile every contract in place, below the package `protos`."""
    # The folder of the project is not on the path of a build.
    sys.path.insert(0, str(ROOT))
    from protos.stub_generator import generate_stubs

    generate_stubs(PROTOS, package="protos")


class BuildProtos(Command):
    """`python setup.py build_protos`: regenerate the stubs after a change of a contract."""

    description = "generate gRPC stubs from the contracts"
    user_options: ClassVar[list[tuple[str, str | None, str]]] = []

    def initialize_options(self) -> None:
        """Nothing to set."""

    def finalize_options(self) -> None:
        """Nothing to set."""

    def run(self) -> None:
        """Generate."""
        generate()


class BuildPy(build_py):
    """The standard build step, preceded by the generation of stubs."""

    def run(self) -> None:
        """Generate, then build."""
        generate()
        super().run()


setup(cmdclass={"build_py": BuildPy, "build_protos": BuildProtos})
