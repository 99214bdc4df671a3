"""Failed writes to a store as errors of the tree; clients in Rust tell the cause in their text only."""

from __future__ import annotations

import errno
import re
from typing import Final

from common.errors import StorageFull, Unavailable

__all__ = ["unwritable"]

_OS_ERROR: Final = re.compile(r"\(os error (\d+)\)")
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def unwritable(what: str, error: BaseException) -> Unavailable:
    """Return the error for a write that failed: `StorageFull` where the disk, or a quota, has no space left.

    Args:
        what: What failed, the beginning of the message.
        error: What the client raised; the first line of its text is for people.
    """
    text = str(error)
    codes = {int(code) for code in _OS_ERROR.findall(text)}
    kind = StorageFull if codes & _NO_SPACE or getattr(error, "errno", None) in _NO_SPACE else Unavailable
    return kind(f"{what}: {text.split(chr(10), 1)[0]}")
