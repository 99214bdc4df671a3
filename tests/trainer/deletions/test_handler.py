"""Data deletion jobs: what goes, what stays, and that every attempt comes to the same end."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from common import columns
from common.artifacts import publish_artifact
from common.deletions import read_deletion, read_report
from common.errors import InvalidInput, Unavailable
from common.positions import Position
from common.vocabulary import Vocabulary
from protos.tailorbird.internal.v1 import jobs_pb2
from protos.tailorbird.storage.v1.artifact_manifest_pb2 import ArtifactManifest
from tests.trainer.place import HEADERS, NoEvents
from trainer.deletions import DeletionJobHandler
from trainer.flushing import Flushed
from trainer.worker import NullJobContext

DELETION = "datasets/group/deletions/leavers-1"
VERSION_ARN = "arn:aws:personalize:us-east-1:000000000000:solution/films/1"
MAX_BYTES = 1000


class LoggedRecords(NoEvents):
    """An events service whose log ends at an offset; removing users succeeds unless a failure is due."""

    def __init__(self, end: int = 0) -> None:
        super().__init__()
        self.end = end
        self.removed: list[tuple[str, str]] = []
        self.failure: Exception | None = None

    def flush(self, location, context) -> Flushed:
        super().flush(location, context)
        return Flushed(self.end)

    def remove(self, location, table_location, context) -> int:
        if self.failure is not None:
            raise self.failure
        self.removed.append((location, table_location))
        return 1


@pytest.fixture
def records():
    return LoggedRecords(end=10)


@pytest.fixture
def delete(place, records):
    def run(location="s3://films/leavers.csv", *, kinds=("INTERACTIONS", "USERS"), name=DELETION):
        handler = DeletionJobHandler(
            place.store, place.sources(), place.workspace, flusher=records, remover=records, max_bytes=MAX_BYTES
        )
        payload = jobs_pb2.DataDeletionPayload(
            dataset_group_arn="group", tables=place.tables(*kinds), data_location=location, location=name
        )
        payload.began_at.FromDatetime(datetime(2026, 1, 2, tzinfo=UTC))
        return handler.run(payload, NullJobContext())

    return run


def leavers(place, *ids, name="leavers.csv"):
    return place.write(name, *ids, header="USER_ID")


def imported(place):
    lines = [f"{user},item-{number},{number},watch,1" for number, user in enumerate(["gone", "stays", "gone-too"] * 5)]
    place.write("interactions.csv", *lines)
    place.bring("s3://films/interactions.csv")
    place.write("users.csv", "gone,30", "stays,40", header=HEADERS["USERS"])
    place.bring("s3://films/users.csv", kind="USERS")


def put(place, *events):
    """Append streamed events: offset, user and session."""
    rows = pl.DataFrame(
        {
            "USER_ID": pl.Series([user for _, user, _ in events], dtype=pl.String),
            "ITEM_ID": ["item"] * len(events),
            "TIMESTAMP": [offset for offset, _, _ in events],
            "EVENT_TYPE": ["watch"] * len(events),
            "EVENT_VALUE": pl.Series([None] * len(events), dtype=pl.Float32),
            columns.SOURCE: [columns.SOURCE_PUT] * len(events),
            columns.EVENT_ID: [f"e{offset}" for offset, _, _ in events],
            columns.LOG_OFFSET: [offset for offset, _, _ in events],
            columns.SESSION_ID: [session for _, _, session in events],
        }
    )
    table = place.table()
    position = Position(1, max(offset for offset, _, _ in events))
    table.append_events(rows, position, after=table.event_position())


def files_with(place, text):
    """Return the files of datasets that have a text; Parquet as it is read, because it is compressed."""
    paths = []
    for path in (place.root / "store" / "datasets").rglob("*"):
        if path.is_file():
            shown = str(pl.read_parquet(path).to_dict(as_series=False)) if path.suffix == ".parquet" else ""
            if text.encode() in path.read_bytes() or text in shown:
                paths.append(path)
    return paths


def test_users_leave_every_table_and_every_version_and_the_others_stay(place, delete, records):
    imported(place)
    place.bring("s3://films/interactions.csv")
    leavers(place, "gone", '"gone-too"', "", "never-seen")
    assert files_with(place, "gone")

    result = delete()

    assert (result.deleted_rows, list(result.solution_version_arns)) == (11, [])
    assert place.rows()["USER_ID"].to_list() == ["stays"] * 5
    assert place.rows("USERS")["USER_ID"].to_list() == ["stays"]
    assert files_with(place, "gone") == []
    assert [table for _, table in records.removed] == ["datasets/group/INTERACTIONS", "datasets/group/USERS"]
    report = read_report(place.store, DELETION)
    assert (report.users, report.log_records, [table.rows for table in report.tables]) == (3, 2, [10, 1])


def test_events_of_the_users_sessions_go_and_later_events_stay(place, delete):
    put(place, (7, None, "s1"), (8, "gone", "s1"), (9, None, "s2"), (10, "stays", "s2"))
    put(place, (11, "gone", "s1"), (12, None, "s1"))
    leavers(place, "gone")

    assert delete().deleted_rows == 2

    assert sorted(place.rows()[columns.LOG_OFFSET]) == [9, 10, 11, 12]
    assert place.table().event_position() == Position(1, 12)


class ReplacedLog(LoggedRecords):
    """Another log has written to the table of interactions, and this one goes on above that when it is flushed."""

    def flush(self, location, context) -> Flushed:
        if location.endswith("INTERACTIONS"):
            self.end = 42
        return super().flush(location, context)


def test_rows_of_a_log_that_was_replaced_are_deleted_in_every_table(place):
    put(place, (7, "gone", "s"), (40, "gone", "s"), (41, None, "s"))
    leavers(place, "gone")
    records = ReplacedLog(end=10)
    handler = DeletionJobHandler(
        place.store, place.sources(), place.workspace, flusher=records, remover=records, max_bytes=MAX_BYTES
    )
    tables = place.tables("USERS", "INTERACTIONS")
    payload = jobs_pb2.DataDeletionPayload(
        dataset_group_arn="group", tables=tables, data_location="s3://films/leavers.csv", location=DELETION
    )

    assert handler.run(payload, NullJobContext()).deleted_rows == 3
    assert read_deletion(place.store, DELETION).entry.up_to_offset == 42


def test_nothing_is_deleted_before_the_ledger_says_whom(place, delete, records):
    imported(place)
    leavers(place, "gone")
    records.failure = Unavailable("events_service: away")

    with pytest.raises(Unavailable):
        delete()

    assert read_deletion(place.store, DELETION).users.holds_ids(["gone", "stays"]).tolist() == [True, False]
    assert len(place.rows()) == 15


@pytest.mark.parametrize("step", ["write_deletion", "delete_users", "artifacts_with_users", "write_report"])
def test_attempt_that_was_killed_is_repeated_to_the_same_end(place, delete, monkeypatch, step):
    """Each step is done, and then the process is gone."""

    class Killed(BaseException):
        pass

    imported(place)
    path = leavers(place, "gone")
    done = getattr(__import__("trainer.deletions.handler", fromlist=[step]), step)

    def killed(*arguments, **options):
        done(*arguments, **options)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(f"trainer.deletions.handler.{step}", killed)
        with pytest.raises(Killed):
            delete()
    path.unlink()  # the ledger has whom, so that the files are not needed any more

    assert delete().deleted_rows == 6
    assert delete().deleted_rows == 6
    assert place.rows()["USER_ID"].unique().sort().to_list() == ["gone-too", "stays"]


def test_folder_is_read_with_its_sub_folders_and_csv_files_alone(place, delete):
    imported(place)
    leavers(place, "gone", name="leavers/a.csv")
    leavers(place, "gone-too", name="leavers/more/b.csv")
    leavers(place, "stays", name="leavers/notes.txt")

    delete("s3://films/leavers/")

    assert place.rows()["USER_ID"].unique().to_list() == ["stays"]


@pytest.mark.parametrize(
    ("header", "lines", "problem"),
    [
        ("USER_ID,AGE", ["gone,3"], "line 1: got 2 values"),
        ("user", ["gone"], "line 1: got another header"),
        ("USER_ID", ["a,b"], "line 2: got 2 values"),
        ("USER_ID", ["x" * 257], "line 2: got a user id of 257 characters"),
        ("USER_ID", [], "got no rows"),
        ("USER_ID", ["x" * 99] * 11, "want files of at most 1,000 bytes"),
    ],
)
def test_files_that_are_wrong_delete_nothing(place, delete, header, lines, problem):
    imported(place)
    place.write("leavers.csv", *lines, header=header)

    with pytest.raises(InvalidInput, match=problem):
        delete()

    assert len(place.rows()) == 15
    assert not list(place.store.list("datasets/group/deletions"))


def test_file_in_another_encoding_is_told_by_its_line(place, delete):
    (place.bucket / "leavers.csv").write_bytes(b"\xef\xbb\xbfUSER_ID\r\nb\xe9a\r\n")

    with pytest.raises(InvalidInput, match="line 2: got bytes that are not UTF-8"):
        delete()


def test_import_that_was_asked_for_before_brings_nobody_back_and_a_later_one_does(place, delete):
    imported(place)
    leavers(place, "gone")
    delete()

    place.bring("s3://films/interactions.csv", import_id="before", requested_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert place.rows()["USER_ID"].unique().sort().to_list() == ["gone-too", "stays"]

    place.bring("s3://films/interactions.csv", import_id="after", requested_at=datetime(2026, 1, 3, tzinfo=UTC))
    assert place.rows()["USER_ID"].unique().sort().to_list() == ["gone", "gone-too", "stays"]


def test_versions_whose_artifacts_have_the_users_are_named(place, delete, tmp_path):
    imported(place)
    leavers(place, "gone", "gone-too")
    for name, users, group in (
        ("with", ["gone", "gone-too", "stays"], "group"),
        ("without", ["stays"], "group"),
        ("foreign", ["gone"], "another"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        # Whom a model does not know, filters may; each user counts once.
        for vocabulary, part in (("users", users[:1]), ("past_users", users[1:]), ("past_action_users", users[1:])):
            Vocabulary.build(part).save(folder, vocabulary)
        manifest = ArtifactManifest(solution_version_arn=f"{VERSION_ARN}-{name}")
        manifest.snapshot.tables.add(dataset_type="INTERACTIONS", location=f"datasets/{group}/INTERACTIONS", version=0)
        publish_artifact(place.store, f"artifacts/{name}", files=folder, manifest=manifest)

    assert list(delete().solution_version_arns) == [f"{VERSION_ARN}-with"]

    (artifact,) = read_report(place.store, DELETION).artifacts
    assert (artifact.location, artifact.users) == ("artifacts/with", 2)
