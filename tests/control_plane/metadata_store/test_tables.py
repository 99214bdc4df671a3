"""The tables' package: all tables are known to whoever imports it, and it is imported in one way."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

from control_plane.metadata_store import tables

PACKAGE = Path(tables.__file__).parent
ROOT = Path(__file__).resolve().parents[3]
#: In a process of its own: in this one, other tests may have imported what the package leaves out.
LIST_TABLES = """
import json
from sqlmodel import SQLModel
from control_plane.metadata_store import tables
print(json.dumps([sorted(SQLModel.metadata.tables), sorted({type.__name__ for type in vars(tables).values()
    if isinstance(type, SQLModel.__class__) and hasattr(type, "__table__")})]))
"""


def test_every_table_of_the_package_is_registered_and_exported():
    declared = {
        node.name: name.value.value
        for path in PACKAGE.glob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
        for name in node.body
        if isinstance(name, ast.Assign) and ast.unparse(name.targets[0]) == "__tablename__"
    }
    listed = subprocess.run([sys.executable, "-c", LIST_TABLES], cwd=ROOT, check=True, capture_output=True, text=True)

    registered, exported = json.loads(listed.stdout)

    assert registered == sorted(declared.values())
    assert exported == sorted(declared)
    assert set(exported) <= set(tables.__all__)


def test_tables_are_imported_from_the_package_alone():
    # A module of it by itself would leave tables out, whose rows and foreign keys then do not exist.
    importers = {
        str(path.relative_to(ROOT))
        for folder in ("control_plane", "tests", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if path.parent != PACKAGE
        if any(name.startswith(f"{tables.__name__}.") for name in imported(path))
    }
    assert importers == set()


def imported(path: Path) -> list[str]:
    """Return the modules that a file imports."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    named = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return [*named, *(node.module or "" for node in nodes if isinstance(node, ast.ImportFrom))]
