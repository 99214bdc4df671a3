"""The format of a data file: by the ending of its name; and by its first bytes what it is instead, if it is another."""

from __future__ import annotations

from typing import Final, Literal

from common.data_files.files import bare_name

__all__ = ["Format", "foreign_format", "format_of"]

Format = Literal["csv", "json_lines", "parquet"]
_JSON_LINES: Final = (".jsonl", ".ndjson", ".json")
#: Bytes from the beginning of a file that are enough to recognise its format.
_HEAD_BYTES: Final = 4096
_UNPACK: Final = "unpack it first"
_EXPORT: Final = "export it as CSV first"
_RENAME: Final = "let its name end in .parquet"
_CONVERT: Final = "convert it to UTF-8 first"
#: Longer beginnings first where one is the beginning of another.
_BEGINNINGS: Final = (
    (b"\x1f\x8b", "a gzip file within another", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file within another", _UNPACK),
    (b"BZh", "a bzip2 file", _UNPACK),
    (b"\xfd7zXZ\0", "an xz file", _UNPACK),
    (b"\x04\x22\x4d\x18", "an LZ4 file", _UNPACK),
    (b"\xff\x06\0\0sNaPpY", "a Snappy file", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip file", _UNPACK),
    (b"PAR1", "a Parquet file", _RENAME),
    (b"ORC", "an ORC file", _EXPORT),
    (b"Obj\x01", "an Avro file", _EXPORT),
    (b"ARROW1", "an Arrow file", _EXPORT),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook (.xls)", _EXPORT),
    (b"\xff\xfe\0\0", "text in UTF-32", _CONVERT),
    (b"\0\0\xfe\xff", "text in UTF-32", _CONVERT),
    (b"\xff\xfe", "text in UTF-16", _CONVERT),
    (b"\xfe\xff", "text in UTF-16", _CONVERT),
)


def format_of(name: str) -> Format:
    """Return the format that a file's name promises; CSV unless it promises another."""
    bare = bare_name(name)
    if bare.endswith(".parquet"):
        return "parquet"
    return "json_lines" if bare.endswith(_JSON_LINES) else "csv"


def foreign_format(beginning_of_file: bytes) -> str | None:
    """Name a file that is no text in UTF-8, and say what to do; None when it may be one.

    Args:
        beginning_of_file: Some thousand bytes, as they are when the file is unpacked.
    """
    head = beginning_of_file[:_HEAD_BYTES]
    for beginning, name, advice in _BEGINNINGS:
        # Text may begin with these letters; nothing but text goes on without control characters.
        if head.startswith(beginning) and (not beginning.isalnum() or _binary(head)):
            return _advise(name, advice)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        workbook = b"[Content_Types].xml" in head or b"xl/" in head
        return _advise("an Excel workbook (.xlsx)", _EXPORT) if workbook else _advise("a zip file", _UNPACK)
    # Without a mark, Latin text in UTF-16 has a zero byte in every character.
    if len(head) >= 2 and max(head[0::2].count(0), head[1::2].count(0)) > len(head) // 4:
        return _advise("text in UTF-16", _CONVERT)
    return None


def _binary(head: bytes) -> bool:
    return any(byte < 9 for byte in head)


def _advise(name: str, advice: str) -> str:
    return f"got {name}, want CSV or JSON Lines as text in UTF-8, or Parquet: {advice}"
