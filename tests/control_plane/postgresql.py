"""A real PostgreSQL for tests: one server for the session, one database for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.postgresql import PostgresServer, postgres_server, programs
from control_plane.metadata_store.sql import open_metadata_store


class PostgresDatabases:
    """Makes databases on a running server."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._template: str | None = None
        self.port, self.execute = server.port, server.execute

    def empty_database(self) -> str:
        """Make a database without tables and return its URL."""
        return self._server.url(self._server.create_database())

    def database(self) -> str:
        """Make a database with all tables and return its URL; they are made once and copied."""
        if self._template is None:
            name = self._server.create_database()
            open_metadata_store(self._server.url(name)).close()
            self._template = name
        return self._server.url(self._server.create_database(self._template))


@contextmanager
def postgres_databases() -> Iterator[PostgresDatabases]:
    """Run a server; without PostgreSQL the test is skipped, and in CI it fails."""
    if programs() is None:
        missing = "no PostgreSQL: apt-get install postgresql"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    with postgres_server() as server:
        yield PostgresDatabases(server)
