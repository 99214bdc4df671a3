"""The processes that a test has started, and an address where they find nobody who answers."""

import socket
import threading
from contextlib import contextmanager, suppress

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


class HangUps:
    """A place where every connection ends at once, as one of a backend that is away.

    Attributes:
        target: `host:port`.
        count: Connections that were made so far.
    """

    def __init__(self, listener):
        self.target = f"127.0.0.1:{listener.getsockname()[1]}"
        self.count = 0
        self._listener = listener

    def run(self):
        with suppress(OSError):  # it is closed in the end
            while True:
                connection, _ = self._listener.accept()
                connection.close()
                self.count += 1


@contextmanager
def hanging_up():
    """Take connections and end them, until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = HangUps(listener)
        thread = threading.Thread(target=made.run)
        thread.start()
        try:
            yield made
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(60)
