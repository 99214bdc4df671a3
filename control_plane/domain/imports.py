"""Checks of jobs that read or write files: the locations of the files, and the import mode."""

from __future__ import annotations

import re
from enum import StrEnum

from common.errors import invalid
from common.files.locations import normalised_folder
from control_plane.domain.fields import not_built

__all__ = ["ImportMode", "check_data_location", "check_import_mode", "check_output_location"]

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]")
_MAX_S3 = 256
_MAX_FILE = 4096


class ImportMode(StrEnum):
    """Whether new rows replace those of earlier bulk imports (FULL) or are added to them (INCREMENTAL)."""

    FULL = "FULL"
    INCREMENTAL = "INCREMENTAL"


def check_data_location(value: str, *, field: str = "dataSource.dataLocation", content: str = "CSV") -> str:
    """Return the location of files to read.

    Args:
        value: The location.
        field: Where it stands in the request.
        content: What kind of files is read.

    Raises:
        InvalidInput: It is neither `s3://BUCKET/KEY` nor `file:///PATH`, or too long.
    """
    want = f"s3://BUCKET/KEY or file:///PATH: a {content} file, or a folder of them, whose name ends in `/`"
    return _check_location(value, field=field, want=want)


def check_output_location(value: str, *, field: str, source: str | None = None) -> str:
    """Return the folder that files are written to.

    Args:
        value: The location.
        field: Where it stands in the request.
        source: Location of the files that are read; None where there are none.

    Raises:
        InvalidInput: It is neither `s3://BUCKET/FOLDER/` nor `file:///FOLDER/`, too long, or the folder that is read.
    """
    _check_location(value, field=field, want="a folder, s3://BUCKET/FOLDER/ or file:///FOLDER/")
    folder = normalised_folder(value)
    if source is not None and folder in (normalised_folder(source), normalised_folder(source.rpartition("/")[0])):
        raise invalid(field, got=value, want=f"another folder than that of {source}")
    return value


def _check_location(value: str, *, field: str, want: str) -> str:
    if value.startswith(("http://", "https://")):
        raise not_built(field, got=value, want=want)
    if value.startswith("file:///") and len(value) > len("file:///"):
        longest = _MAX_FILE
        if "?" in value or "#" in value:
            raise invalid(field, got=value, want="a path where `?` is written as %3F and `#` as %23")
    elif value.startswith("s3://"):
        longest = _MAX_S3
        bucket, slash, _ = value.removeprefix("s3://").partition("/")
        if not _BUCKET.fullmatch(bucket):
            raise invalid(
                field,
                got=value,
                want="a bucket named by the rules of S3: 3 to 63 lower-case letters, digits, dots and hyphens, a "
                "letter or digit first and last",
            )
        if not slash:
            raise invalid(field, got=value, want=f"{want}; all files of the bucket are s3://{bucket}/")
    else:
        raise invalid(field, got=value, want=want)
    if len(value) > longest:
        raise invalid(field, got=value, want=f"at most {longest:,} characters")
    return value


def check_import_mode(value: str | None, *, imported_before: bool) -> ImportMode:
    """Return the mode of an import, FULL when the request has none.

    Raises:
        InvalidInput: INCREMENTAL for the first bulk import into a dataset.
    """
    mode = ImportMode(value) if value else ImportMode.FULL
    if mode is ImportMode.INCREMENTAL and not imported_before:
        raise invalid("importMode", got=value, want="FULL: nothing was imported into this dataset before")
    return mode
