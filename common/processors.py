"""How many processors this process may use, which may be fewer than the machine has."""

from __future__ import annotations

import math
import os
from pathlib import Path

__all__ = ["usable_processors"]


def usable_processors(root: Path = Path("/")) -> int:
    """Return how many processors this process may use, by its affinity and the quotas of its control groups.

    Quotas are those of version 2 (`cpu.max`): of this process's group and of all that it is in. Parts of a processor
    count as one.

    Args:
        root: Of the file system that says what the groups are.
    """
    # Only Linux has affinities.
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    mount = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return count  # no Linux
    for line in lines:
        _, controllers, path = line.split(":", 2)
        group = mount / path.lstrip("/")
        for folder in () if controllers else (group, *group.parents):
            if folder.is_relative_to(mount) and (quota := _quota(folder)) is not None:
                count = min(count, max(1, math.ceil(quota)))
    return count


def _quota(group: Path) -> float | None:
    """Return how many processors a group may use; None for all."""
    try:
        most, period = (group / "cpu.max").read_text().split()
        return None if most == "max" else int(most) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None  # a group above those that a container may see
