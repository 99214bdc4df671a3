"""The processes that a test has started."""

from contextlib import suppress

import psutil


def descendants(text, *, of=None):
    """Return the running descendants of a process, by default of this one, with a text in their command line.

    Children that end while they are looked at, and those that have ended and are not yet waited for, are left out.
    """
    matching = []
    for process in psutil.Process(of).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if text in " ".join(process.cmdline()):
                matching.append(process)
    return matching
