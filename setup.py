"""Generates the gRPC stubs as part of every build, editable installs included.

protoc writes absolute imports from its include root (`from tailorbird.x …`), while our stubs live under the
`protos` package. One rewrite of that prefix, and of the module name given to the message builder (without
which messages cannot be pickled), is all the post-processing there is.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import ClassVar

from setuptools import Command, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
PROTOS = ROOT / "protos"
GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


def generate_stubs() -> None:
    """Compile every contract in place and rewrite the import prefix."""
    import grpc_tools
    from grpc_tools import protoc

    for pattern in GENERATED:
        for stale in PROTOS.rglob(pattern):
            stale.unlink()
    sources = sorted(str(path.relative_to(PROTOS)) for path in (PROTOS / "tailorbird").rglob("*.proto"))
    # The type plugins are console scripts beside the running interpreter, which a build environment
    # does not always put on PATH.
    plugins = [
        f"--plugin=protoc-gen-{name}={path}"
        for name in ("mypy", "mypy_grpc")
        if (path := _find_script(f"protoc-gen-{name}")) is not None
    ]
    if len(plugins) != 2:
        raise SystemExit("mypy-protobuf: got no protoc-gen-mypy script, want the package installed (extra `dev`)")
    arguments = [
        "protoc",
        f"-I{PROTOS}",
        f"-I{Path(grpc_tools.__file__).parent / '_proto'}",
        *plugins,
        f"--python_out={PROTOS}",
        f"--grpc_python_out={PROTOS}",
        f"--mypy_out=quiet:{PROTOS}",
        f"--mypy_grpc_out=quiet:{PROTOS}",
        *sources,
    ]
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc failed; its messages stand above")
    for pattern in GENERATED:
        for path in PROTOS.rglob(pattern):
            path.write_text(_rewrite(path.read_text()))


def _rewrite(text: str) -> str:
    text = re.sub(r"^(\s*)(from|import) tailorbird\b", r"\1\2 protos.tailorbird", text, flags=re.MULTILINE)
    text = re.sub(r"(?<![\w./'\"])tailorbird\.(\w+)\.v1(?=\.\w+_pb2)", r"protos.tailorbird.\1.v1", text)
    text = text.replace("protos.protos.", "protos.")
    return re.sub(r"(BuildTopDescriptorsAndMessages\(DESCRIPTOR, ')tailorbird\.", r"\1protos.tailorbird.", text)


def _find_script(name: str) -> Path | None:
    import os
    import shutil

    script = Path(sys.executable).parent / name
    if script.exists():
        return script
    on_path = shutil.which(name)
    if on_path:
        return Path(on_path)
    # In pip's isolated build environment the scripts are next to its site-packages.
    for entry in sys.path + os.environ.get("PYTHONPATH", "").split(os.pathsep):
        for parent in Path(entry).parents if entry else ():
            candidate = parent / "bin" / name
            if candidate.exists():
                return candidate
    return None


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
        generate_stubs()


class BuildPy(build_py):
    """The standard build step, preceded by the generation of stubs."""

    def run(self) -> None:
        """Generate, then build."""
        generate_stubs()
        super().run()


setup(cmdclass={"build_py": BuildPy, "build_protos": BuildProtos})
