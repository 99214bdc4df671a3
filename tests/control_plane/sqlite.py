"""SQLite databases for tests: the tables are made once, and every further database begins as a copy."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from control_plane.metadata_store.sql import open_metadata_store


def sqlite_url(folder: Path) -> str:
    """Return the URL of the database in a folder, which has all tables and is empty unless it was there before."""
    file = folder / "metadata_store.db"
    if not file.exists():
        file.write_bytes(_with_tables())
    return f"sqlite:///{file}"


@cache
def _with_tables() -> bytes:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "metadata_store.db"
        open_metadata_store(f"sqlite:///{file}").close()
        return file.read_bytes()
