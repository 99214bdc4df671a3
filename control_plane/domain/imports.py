"""What an import job may ask for."""

from __future__ import annotations

import re
from enum import StrEnum

from common.errors import invalid
from control_plane.domain.fields import not_built

__all__ = ["ImportMode", "check_data_location", "check_import_mode"]

_S3 = re.compile(r"s3://[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]/.+")
_FILE = re.compile(r"file:///.+")


class ImportMode(StrEnum):
    """How new rows meet those of earlier bulk imports."""

    FULL = "FULL"
    INCREMENTAL = "INCREMENTAL"


def check_data_location(value: str) -> str:
    """Return where the CSV files are.

    Raises:
        InvalidInput: It is no `s3://BUCKET/KEY` and no `file:///PATH`.
    """
    field = "dataSource.dataLocation"
    want = "s3://BUCKET/KEY or file:///PATH: a CSV file, or a folder of them"
    if value.startswith(("http://", "https://")):
        raise not_built(field, got=value, want=want)
    if not ((_S3.fullmatch(value) and len(value) <= 256) or (_FILE.fullmatch(value) and len(value) <= 4096)):
        raise invalid(field, got=value, want=want)
    return value


def check_import_mode(value: str | None, *, imported_before: bool) -> ImportMode:
    """Return the mode of an import, FULL when the caller does not say.

    Raises:
        InvalidInput: Rows are to be added to a dataset that no bulk import has filled yet.
    """
    mode = ImportMode(value) if value else ImportMode.FULL
    if mode is ImportMode.INCREMENTAL and not imported_before:
        raise invalid("importMode", got=value, want="FULL: nothing was imported into this dataset before")
    return mode
