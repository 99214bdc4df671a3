"""Servers of NATS as operators run them: with TLS, with passwords, and several as a cluster."""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from benchmarks.nats import nats_cluster
from cli.certificates import make_certificates
from common.errors import InvalidInput, Unavailable
from common.testing import wait_until
from events_service.log.jetstream import JetStreamEventLog
from events_service.log.moving import move_to_stream
from events_service.log.sqlite import SqliteEventLog
from events_service.log.stream_target import StreamTarget
from events_service.records import content_of
from tests.events_service.nats import require_nats, running_nats
from tests.events_service.samples import entries, entry, event

DAY = timedelta(days=1)
SECRET = "b29uly-kn0wn-h3re"
#: The server says so and closes the connection; a client that is slow to read may see the end of it first.
REFUSED = "Authorization|cannot be reached: .*reset by peer"
#: In which a server that refuses has refused.
SECONDS = 1.5


def opened(folder, clock, target):
    return JetStreamEventLog(target, folder, clock=clock, lease_seconds=1)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"), lifetime=DAY)


@pytest.fixture(scope="module")
def secure(files):
    options = ["--tlsverify", "--tlscert", str(files.cert_file), "--tlskey", str(files.key_file)]
    with running_nats(options=[*options, "--tlscacert", str(files.ca_file)], scheme="tls") as server:
        yield server


def test_log_is_reached_over_tls_with_the_process_s_certificate(secure, files, tmp_path, clock):
    with closing(opened(tmp_path / "a", clock, StreamTarget(secure.url, tls=files))) as log:
        assert log.append(entries(1, 2), seconds=20) == (1, 2)
        wait_until(log.consumes)


def test_server_without_the_right_certificate_and_process_without_one_are_refused(secure, files, tmp_path, clock):
    others = make_certificates(tmp_path / "others", lifetime=DAY)
    wrong_authority = type(files)(files.cert_file, files.key_file, others.ca_file)
    alone = type(files)(None, None, files.ca_file)
    for tls in (wrong_authority, others, alone):
        with pytest.raises(Unavailable, match="cannot be reached"):
            opened(tmp_path / "a", clock, StreamTarget(secure.url, tls=tls, connect_seconds=SECONDS))


def test_nothing_is_sent_in_plain_text_to_a_server_that_should_speak_tls(files, tmp_path, clock):
    with running_nats() as server:
        target = StreamTarget(server.url.replace("nats:", "tls:"), tls=files, connect_seconds=SECONDS)
        with pytest.raises(Unavailable, match="speaks no TLS"):
            opened(tmp_path / "a", clock, target)


@pytest.fixture(scope="module")
def guarded():
    with running_nats(options=["--user", "tailorbird", "--pass", SECRET]) as server:
        yield server


@pytest.fixture
def credentials(tmp_path):
    file = tmp_path / "credentials"

    def written(text):
        file.write_text(text)
        return file

    return written


def test_password_opens_the_log_and_stands_in_no_line(guarded, credentials, tmp_path, clock, caplog):
    caplog.set_level(logging.DEBUG)
    target = StreamTarget(guarded.url, credentials_file=credentials(f"tailorbird:{SECRET}\n"))
    with capture_logs() as lines, closing(opened(tmp_path / "a", clock, target)) as log:
        log.append(entries(1), seconds=20)
        guarded.stop(signal.SIGKILL)
        guarded.start()
        assert log.append(entries(2), seconds=60) == (2,)
        wait_until(log.consumes)

    assert lines
    assert SECRET not in f"{lines}{caplog.text}{target}"


@pytest.mark.parametrize("text", [f"tailorbird:{SECRET}-not", f"someone:{SECRET}", f"tailorbird:{SECRET} "])
def test_wrong_password_is_told_without_it(guarded, credentials, tmp_path, clock, caplog, text):
    caplog.set_level(logging.DEBUG)
    target = StreamTarget(guarded.url, credentials_file=credentials(f"{text}-"), connect_seconds=SECONDS)
    with capture_logs() as lines, pytest.raises(Unavailable, match=REFUSED) as caught:
        opened(tmp_path / "a", clock, target)

    assert SECRET not in f"{lines}{caplog.text}{caught.value}"


def test_no_password_is_told_and_a_file_without_a_colon_without_what_it_has(guarded, credentials, tmp_path, clock):
    with pytest.raises(Unavailable, match=REFUSED):
        opened(tmp_path / "a", clock, StreamTarget(guarded.url, connect_seconds=SECONDS))
    target = StreamTarget(guarded.url, credentials_file=credentials(SECRET))
    with pytest.raises(InvalidInput, match="want one line, USER:PASSWORD") as caught:
        opened(tmp_path / "a", clock, target)
    assert SECRET not in str(caught.value)


def test_log_is_moved_to_servers_with_a_password(guarded, credentials, tmp_path, clock):
    with closing(SqliteEventLog(tmp_path / "a", clock=clock)) as log:
        log.append(entries(1, 2), seconds=20)
    file = credentials(f"tailorbird:{SECRET}")

    target = StreamTarget(guarded.url, stream="moved", credentials_file=file)

    assert move_to_stream(tmp_path / "a", target, progress=lambda *_: None).records == 2


def test_three_servers_with_three_copies_lose_nothing_when_one_after_the_other_is_killed(tmp_path, clock):
    require_nats()
    with nats_cluster(3) as servers:
        target = StreamTarget(",".join(server.url for server in servers), replicas=3, connect_seconds=60)
        logs = [wait_until(lambda name=name: formed(tmp_path / name, clock, target), seconds=60) for name in "ab"]
        acknowledged, stopping = [], threading.Event()

        def send(log, thread) -> None:
            number = 0
            while not stopping.is_set():
                number += 1
                sent = [entry(event(n, event_id=f"{thread}-{number}-{n}")) for n in range(3)]
                while True:
                    try:
                        log.append(sent, seconds=20)
                    except Unavailable:
                        continue
                    break
                acknowledged.extend(item.record_id for item in sent)

        threads = [threading.Thread(target=send, args=[logs[n % 2], n]) for n in range(4)]
        for thread in threads:
            thread.start()
        for server in servers:
            before = len(acknowledged)
            wait_until(lambda before=before: len(acknowledged) > before + 60, seconds=60)
            server.stop(signal.SIGKILL)
            # The two that are left go on.
            before = len(acknowledged)
            wait_until(lambda before=before: len(acknowledged) > before + 60, seconds=60)
            server.start()
        stopping.set()
        for thread in threads:
            thread.join()

        fresh = wait_until(lambda: formed(tmp_path / "c", clock, target), seconds=60)
        records = fresh.read(1, max_records=1_000_000).records
        wait_until(lambda: any(log.consumes() for log in (*logs, fresh)), seconds=60)
        for log in (*logs, fresh):
            log.close()

    ids = [content_of(record).event_id for record in records]
    assert sorted(ids) == sorted(acknowledged)
    assert [record.offset for record in records] == list(range(1, len(records) + 1))


def formed(folder: Path, clock, target):
    """Return the log; None while the servers have not found each other."""
    try:
        return JetStreamEventLog(target, folder, clock=clock, lease_seconds=2)
    except Unavailable:
        return None
