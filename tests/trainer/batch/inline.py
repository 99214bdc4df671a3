"""A `Compute` without processes: tests of what parts do need none; those of processes are in tests/common/compute."""

from __future__ import annotations


class InlineCompute:
    """Does one part after the other, here."""

    parallelism = 1

    def run(self, task, parts, *, check):
        for place in range(len(parts)):
            check()
            yield place, task(parts[place])
