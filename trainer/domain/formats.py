"""What a file is that is no CSV, by its first bytes, so that nobody has to guess from "not UTF-8"."""

from __future__ import annotations

from typing import Final

__all__ = ["HEAD_BYTES", "foreign_format"]

#: Bytes from the beginning of a file that are enough to recognise its format.
HEAD_BYTES: Final = 4096
_UNPACK: Final = "unpack it first"
_EXPORT: Final = "export it as CSV first"
_CONVERT: Final = "convert it to UTF-8 first"
#: Longer beginnings first where one is the beginning of another.
_BEGINNINGS: Final = (
    (b"\x1f\x8b", "a gzip file", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", _UNPACK),
    (b"BZh", "a bzip2 file", _UNPACK),
    (b"\xfd7zXZ\0", "an xz file", _UNPACK),
    (b"\x04\x22\x4d\x18", "an LZ4 file", _UNPACK),
    (b"\xff\x06\0\0sNaPpY", "a Snappy file", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip file", _UNPACK),
    (b"PAR1", "a Parquet file", _EXPORT),
    (b"ORC", "an ORC file", _EXPORT),
    (b"Obj\x01", "an Avro file", _EXPORT),
    (b"ARROW1", "an Arrow file", _EXPORT),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook (.xls)", _EXPORT),
    (b"\xff\xfe\0\0", "text in UTF-32", _CONVERT),
    (b"\0\0\xfe\xff", "text in UTF-32", _CONVERT),
    (b"\xff\xfe", "text in UTF-16", _CONVERT),
    (b"\xfe\xff", "text in UTF-16", _CONVERT),
)


def foreign_format(head: bytes) -> str | None:
    """Name a file that is no text in UTF-8, and say what to do; None when it may be one.

    Args:
        head: The first `HEAD_BYTES` of the file.
    """
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
    return f"got {name}, want CSV as text in UTF-8: {advice}"
