"""Searches for a user: every place is told by itself, and nothing is proven that was not looked into."""

from __future__ import annotations

import polars as pl
import pytest

from common import columns
from common.artifacts import publish_artifact
from common.clock import SystemClock
from common.deletions import DigestSet, id_digest, read_deletion, write_deletion
from common.errors import InvalidInput, Unavailable
from common.features.publishing import publish_snapshot
from common.table_deletions import ErasableTable
from common.vocabulary import Vocabulary
from protos.tailorbird.control.v1 import user_search_service_pb2 as api
from protos.tailorbird.internal.v1 import jobs_pb2
from protos.tailorbird.storage.v1.artifact_manifest_pb2 import ArtifactManifest
from protos.tailorbird.storage.v1.deletion_pb2 import DeletionEntry
from tests.trainer.deletions.test_handler import imported, put
from tests.trainer.place import HEADERS, SCHEMAS
from trainer.deletions import UserSearchHandler
from trainer.deletions.tables import delete_users
from trainer.worker import NullJobContext

GROUP = "datasets/group"
DELETION = f"{GROUP}/deletions/leavers-1"
ARN = "arn:aws:personalize:us-east-1:000000000000:solution/films/1"


class Records:
    """An events service that has as many records of everybody as are due."""

    def __init__(self) -> None:
        self.records = 0
        self.failure: Exception | None = None
        self.questions: list[tuple[str, bytes, bytes, list[str]]] = []

    def count(self, table_location, user, *, sessions, deletions, context) -> int:
        self.questions.append((table_location, user, sessions, list(deletions)))
        if self.failure is not None:
            raise self.failure
        return self.records


@pytest.fixture
def records():
    return Records()


@pytest.fixture
def search(place, records):
    def run(user, *kinds, **more):
        handler = UserSearchHandler(place.store, place.workspace, counter=records, clock=SystemClock())
        payload = jobs_pb2.UserSearchPayload(
            group_location=GROUP, tables=place.tables(*kinds or ("INTERACTIONS", "USERS")), user=id_digest(user), **more
        )
        return handler.run(payload, NullJobContext()).report

    return run


def rows_by_place(report):
    """Return what was found in each place; None where it cannot be told."""
    return {
        (api.UserPlace.Name(item.place).removeprefix("USER_PLACE_"), item.name): item.rows
        if item.HasField("rows")
        else None
        for item in report.findings
    }


def delete(place, *users, sessions=(), up_to=0, location=DELETION, erased=True):
    key = b"k" * 32
    digests = [DigestSet.of(key, map(id_digest, ids)) for ids in (users, sessions)]
    write_deletion(place.store, location, DeletionEntry(up_to_offset=up_to), users=digests[0], sessions=digests[1])
    if erased:
        for kind in ("INTERACTIONS", "USERS"):
            table = ErasableTable(place.store, f"{GROUP}/{kind}")
            delete_users(place.store, table, read_deletion(place.store, location))


def publish(place, folder, *users, name="films-1", deletions=()):
    Vocabulary.build(list(users)).save(folder, "users")
    manifest = ArtifactManifest(solution_version_arn=ARN)
    manifest.snapshot.tables.add(dataset_type="INTERACTIONS", location=f"{GROUP}/INTERACTIONS", version=0)
    manifest.snapshot.deletions.extend(deletions)
    manifest.created_at.GetCurrentTime()
    publish_artifact(place.store, f"artifacts/{name}", files=folder, manifest=manifest)


def test_user_is_in_rows_and_in_earlier_versions_until_both_are_gone(place, search):
    imported(place)
    place.bring("s3://films/interactions.csv")

    before = rows_by_place(search("gone"))
    assert before[("DATASET", "INTERACTIONS")] == 5
    assert before[("DATASET", "USERS")] == 1
    assert before[("DATASET_HISTORY", "INTERACTIONS")] > 0
    assert rows_by_place(search("nobody"))[("DATASET", "INTERACTIONS")] == 0

    delete(place, "gone")
    after = search("gone")

    assert set(rows_by_place(after).values()) == {0}
    assert [(item.name, item.HasField("finished_at")) for item in after.deletions] == [("leavers-1", False)]
    assert rows_by_place(search("stays"))[("DATASET", "INTERACTIONS")] == 5
    assert not search("stays").deletions


def test_events_that_name_nobody_count_by_their_session_up_to_the_deletion(place, search, records):
    put(place, (7, None, "s1"), (8, None, "s2"), (9, "stays", "s3"), (10, None, "s3"), (11, None, "s1"))
    delete(place, "gone", sessions=["s1"], up_to=10, erased=False)

    assert rows_by_place(search("gone"))[("DATASET", "INTERACTIONS")] == 1
    assert rows_by_place(search("stays"))[("DATASET", "INTERACTIONS")] == 2
    assert records.questions[0] == (f"{GROUP}/INTERACTIONS", id_digest("gone"), b"", [DELETION])
    assert records.questions[-1][2:] == (id_digest("s3"), [])


def test_statistics_of_files_that_are_gone_still_name_a_user(place, search):
    put(place, (1, "gone", "s"), (2, "stays", "s"))
    table = ErasableTable(place.store, f"{GROUP}/INTERACTIONS")
    table.delete_matching(pl.Series(columns.USER_ID, ["gone"]), up_to=1, app_id="deletion")
    present = {file.name for file in table.snapshot().files}
    for path in (place.root / "store" / GROUP / "INTERACTIONS").glob("*.parquet"):
        if path.name not in present:
            path.unlink()

    rows = rows_by_place(search("gone", "INTERACTIONS"))

    assert (rows[("DATASET", "INTERACTIONS")], rows[("DATASET_HISTORY", "INTERACTIONS")]) == (0, 1)
    table.erase_history()
    assert set(rows_by_place(search("gone", "INTERACTIONS")).values()) == {0}


def test_models_are_told_with_the_deletions_that_came_after_them(place, search, tmp_path):
    imported(place)
    delete(place, "gone")
    (tmp_path / "model").mkdir()
    publish(place, tmp_path / "model", "gone", "stays")
    publish(place, tmp_path / "model", "gone", name="films-2", deletions=["leavers-1"])

    models = {item.location: item for item in search("gone").findings if item.place == api.USER_PLACE_MODEL}

    assert {(name, model.rows, tuple(model.deletions_since)) for name, model in models.items()} == {
        ("artifacts/films-1", 1, ("leavers-1",)),
        ("artifacts/films-2", 1, ()),
    }
    assert {item.rows for item in search("nobody").findings if item.place == api.USER_PLACE_MODEL} == {0}


def test_what_a_killed_training_left_and_what_nobody_knows_proves_nothing(place, search, tmp_path):
    imported(place)
    remains = place.root / "store" / "artifacts" / "films-1" / "files-1"
    remains.mkdir(parents=True)
    Vocabulary.build(["stays"]).save(remains, "users")
    Vocabulary.build(["gone"]).save(remains, "past_users")
    (place.root / "store" / GROUP / "USERS" / "notes.txt").write_text("gone")

    rows = rows_by_place(search("gone"))

    assert rows[("TRAINING_REMAINS", "")] == 1
    assert rows[("OTHER_FILES", "USERS")] is None


def test_snapshots_of_the_features_of_users_are_looked_into_and_those_of_items_are_not(place, search, tmp_path):
    imported(place)
    place.write("items.csv", "gone,A,B,1,", header=HEADERS["ITEMS"])
    place.bring("s3://films/items.csv", kind="ITEMS")
    for kind in ("USERS", "ITEMS"):
        (tmp_path / kind).mkdir()
        publish_snapshot(
            place.store, f"{GROUP}/{kind}", SCHEMAS[kind], dataset_type=kind, version=0, folder=tmp_path / kind,
            check=lambda: None, confirm=lambda: None,
        )  # fmt: skip

    found_places = rows_by_place(search("gone"))

    assert {key: count for key, count in found_places.items() if key[0] == "FEATURES"} == {("FEATURES", "USERS"): 1}
    assert rows_by_place(search("nobody"))[("FEATURES", "USERS")] == 0


def test_places_that_cannot_be_asked_say_why(place, search, records):
    imported(place)
    (log,) = (place.root / "store" / GROUP / "USERS" / "_delta_log").glob("*0.json")
    log.write_text("not a log")
    records.failure = Unavailable("events_service: away")

    report = search("gone", "INTERACTIONS", "USERS")

    rows = rows_by_place(report)
    assert (rows[("DATASET", "USERS")], rows[("EVENT_LOG", "INTERACTIONS")]) == (None, None)
    assert all(item.HasField("rows") or item.reason for item in report.findings)
    assert rows[("DATASET", "INTERACTIONS")] == 5


def test_reports_of_failed_imports_may_quote_anybody(place, search):
    imported(place)
    place.write("users.csv", "gone,old", header="USER_ID,AGE")
    with pytest.raises(InvalidInput):
        place.bring("s3://films/users.csv", kind="USERS")

    assert rows_by_place(search("gone"))[("IMPORT_REPORTS", "USERS")] is None


def test_digest_of_another_length_is_refused(place, records):
    handler = UserSearchHandler(place.store, place.workspace, counter=records, clock=SystemClock())
    with pytest.raises(InvalidInput, match="got '3 bytes'"):
        handler.run(jobs_pb2.UserSearchPayload(group_location=GROUP, user=b"abc"), NullJobContext())


def test_events_of_a_session_with_the_user_are_the_users(place, search):
    put(place, (1, "gone", "s"), (2, None, "s"))
    assert columns.SESSION_ID in place.rows().columns
    assert rows_by_place(search("gone", "INTERACTIONS"))[("DATASET", "INTERACTIONS")] == 2
