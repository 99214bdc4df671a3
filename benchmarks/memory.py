"""How much memory a process has taken."""

from __future__ import annotations

import re
import resource
from pathlib import Path
from typing import Final

__all__ = ["peak_mib", "reset_peak"]

_STATUS: Final = Path("/proc/self/status")


def peak_mib() -> int:
    """Return the most memory that this process has had at once, in MiB.

    On Linux by its own count: the figure of `getrusage` begins with that of the process by which this one was started.
    """
    if _STATUS.exists() and (peak := re.search(r"^VmHWM:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)):
        return int(peak[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def reset_peak() -> None:
    """Let `peak_mib` begin anew from what the process has now; without effect but on Linux."""
    if _STATUS.exists():
        Path("/proc/self/clear_refs").write_text("5")
