"""Which files of a folder hold rows: programs that write folders leave markers and checksums beside them."""

from __future__ import annotations

from pathlib import Path

from common.data_files.files import DataFile
from common.errors import InvalidInput

__all__ = ["data_files", "is_data_file"]


def is_data_file(name: str) -> bool:
    """Tell whether a file holds rows by its name: not `_SUCCESS`, not `.part-0.crc`."""
    return bool(name) and not name.startswith((".", "_")) and not name.endswith(".crc")


def data_files(path: Path) -> list[DataFile]:
    """Return a file, or the files of a folder that hold rows, by name; empty ones of a folder are passed over.

    Raises:
        InvalidInput: There is none, or it cannot be read.
    """
    try:
        if path.is_dir():
            entries = sorted(entry for entry in path.iterdir() if is_data_file(entry.name))
            files = [DataFile(entry.name, entry) for entry in entries if entry.is_file() and entry.stat().st_size]
        else:
            with path.open("rb"):
                files = [DataFile(path.name, path)]
    except OSError as error:
        raise InvalidInput(f"`data`: got {path}, which cannot be read ({error.strerror})") from error
    if not files:
        raise InvalidInput(f"`data`: got {path}, a folder without files of rows, want at least one")
    return files
