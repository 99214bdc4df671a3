"""Where the settings say that the event log is."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput
from events_service.log._files import UNFINISHED_DATABASE
from events_service.log.jetstream import REPLICA, JetStreamEventLog
from events_service.log.sqlite import DATABASE, SqliteEventLog
from events_service.opening import open_log
from events_service.settings import EventsSettings
from tests.events_service.nats import running_nats
from tests.events_service.samples import entries


def test_log_is_in_sqlite_unless_there_is_a_url(tmp_path, clock):
    with running_nats() as server:
        for settings, kind in (
            (EventsSettings(data_dir=tmp_path / "a"), SqliteEventLog),
            (
                EventsSettings(data_dir=tmp_path / "b", event_log_url=server.url, event_log_stream="x"),
                JetStreamEventLog,
            ),
        ):
            log = open_log(settings, clock)
            assert isinstance(log, kind)
            assert log.append(entries(1), seconds=20) == (1,)
            log.close()


def test_folder_with_a_log_in_sqlite_is_no_replica(tmp_path, clock):
    (tmp_path / DATABASE).touch()

    with pytest.raises(InvalidInput, match="`event_log_url`"):
        open_log(EventsSettings(data_dir=tmp_path, event_log_url="nats://127.0.0.1:1"), clock)


@pytest.mark.parametrize("name", [REPLICA, UNFINISHED_DATABASE], ids=["in use", "at the last step of a move"])
def test_folder_with_a_log_of_a_stream_alone_begins_none_in_sqlite(tmp_path, clock, name):
    (tmp_path / name).touch()

    with pytest.raises(InvalidInput, match="log move sqlite"):
        open_log(EventsSettings(data_dir=tmp_path), clock)
