"""Generates Python stubs from the contracts; used by the builds of this project and of its client package.

protoc writes absolute imports from its include root (`from tailorbird.x …`). Stubs that live under another package get
one rewrite of that prefix, and of the module name given to the message builder (without which messages cannot be
pickled); that is all the post-processing there is.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

__all__ = ["generate_stubs"]

_GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")
_CONTRACTS = Path(__file__).resolve().parent


def generate_stubs(out: Path, *, folders: Iterable[str] = ("",), package: str = "") -> None:
    """Compile contracts, and rewrite the import prefix where the stubs are in a package.

    Args:
        out: The folder that gets `tailorbird/…`; what was generated there before is removed.
        folders: Folders below `protos/tailorbird` whose contracts are compiled, with all below them.
        package: The package that the stubs are below; empty where `tailorbird` itself is found by Python.

    Raises:
        SystemExit: protoc fails, or its plugins for types are not installed.
    """
    import grpc_tools
    from grpc_tools import protoc

    for pattern in _GENERATED:
        for stale in out.rglob(pattern):
            stale.unlink()
    contracts = _CONTRACTS / "tailorbird"
    files = {path for folder in folders for path in (contracts / folder).rglob("*.proto")}
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
        f"-I{_CONTRACTS}",
        f"-I{Path(grpc_tools.__file__).parent / '_proto'}",
        *plugins,
        f"--python_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_out=quiet:{out}",
        f"--mypy_grpc_out=quiet:{out}",
        *sorted(str(path.relative_to(_CONTRACTS)) for path in files),
    ]
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc failed; its messages stand above")
    if not package:
        return
    for pattern in _GENERATED:
        for path in out.rglob(pattern):
            path.write_text(_rewrite(path.read_text(), package))


def _rewrite(text: str, package: str) -> str:
    text = re.sub(r"^(\s*)(from|import) tailorbird\b", rf"\1\2 {package}.tailorbird", text, flags=re.MULTILINE)
    text = re.sub(r"(?<![\w./'\"])tailorbird\.(\w+)\.v1(?=\.\w+_pb2)", rf"{package}.tailorbird.\1.v1", text)
    text = text.replace(f"{package}.{package}.", f"{package}.")
    return re.sub(r"(BuildTopDescriptorsAndMessages\(DESCRIPTOR, ')tailorbird\.", rf"\1{package}.tailorbird.", text)


def _find_script(name: str) -> Path | None:
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
