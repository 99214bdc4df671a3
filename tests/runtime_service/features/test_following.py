"""Features as requests see them: what is put, new snapshots, replaced logs, deleted users, and what fails to load."""

from __future__ import annotations

import json
from dataclasses import replace
from traceback import walk_tb

import pytest

from common.deletions import DigestSet, id_digest, write_deletion
from common.errors import InvalidInput, Unavailable
from common.positions import Epoch, Lineage, Position
from common.testing import wait_until
from protos.tailorbird.runtime.v1 import runtime_service_pb2 as messages
from protos.tailorbird.storage.v1.deletion_pb2 import DeletionEntry
from runtime_service.serving.deployments import Deployment
from tests.runtime_service.features.running import filter_arn, group_message, publish_rows
from tests.runtime_service.servicers.wire import ids
from tests.runtime_service.world import N_ITEMS, assignment, item

FILTERS = {
    "a": 'INCLUDE ItemID WHERE Items.T1 IN ("a")',
    "of-user": 'INCLUDE ItemID WHERE Items.T1 IN ("a") | EXCLUDE ItemID WHERE Items.I >= 0 IF CurrentUser.T2 = "x"',
}


def a(text="a"):
    return json.dumps({"t1": text, "i": 1})


def rows(*numbers, text="a"):
    return {item(number): {"T1": text, "T2": None, "I": 1, "F": None} for number in numbers}


@pytest.fixture
def served(runtime, group):
    """Assign a group with items, and return what passes a filter, as a set, and what assigns it anew."""

    class Served:
        name = runtime.serve("personal", group)

        def assign(self, filters=FILTERS, **locations):
            runtime.assign(group_message(group, {kind.upper(): place for kind, place in locations.items()}, filters))

        def passing(self, name="a", user_id="nobody"):
            answer = runtime.recommend(self.name, user_id=user_id, num_results=N_ITEMS, filter_arn=filter_arn(name))
            return set(ids(answer))

    return Served()


def snapshot(runtime, group, kind, held, *, offset=None, **members):
    offset = runtime.writer.next_offset() - 1 if offset is None else offset
    epoch = runtime.writer.lineage().current
    return publish_rows(runtime.store, group.rpartition("/")[2], kind, held, offset=offset, epoch=epoch, **members)


def test_items_are_those_of_the_snapshot_until_they_are_put(runtime, group, served):
    served.assign(items=snapshot(runtime, group, "ITEMS", rows(1, 2, 3)))
    assert served.passing() == {item(1), item(2), item(3)}

    runtime.put(group, "ITEMS", item(2), a("b"))
    last = runtime.put(group, "ITEMS", item(5), a("c|a"))
    runtime.wait_for_puts(group, "ITEMS", last)

    assert served.passing() == {item(1), item(3), item(5)}


def test_dataset_without_a_snapshot_has_what_is_put(runtime, group, served):
    served.assign(items=None)
    assert served.passing() == set()

    runtime.wait_for_puts(group, "ITEMS", runtime.put(group, "ITEMS", item(5), a()))

    assert served.passing() == {item(5)}


def test_new_snapshot_takes_the_place_of_the_one_before_and_of_what_it_contains(runtime, group, served):
    served.assign(items=snapshot(runtime, group, "ITEMS", rows(1)))
    runtime.put(group, "ITEMS", item(2), a("b"))
    contained = runtime.writer.next_offset() - 1
    runtime.wait_for_puts(group, "ITEMS", runtime.put(group, "ITEMS", item(3), a()))
    assert served.passing() == {item(1), item(3)}

    # As after an import: the snapshot says otherwise of what was put before, and does not have what came later.
    second = snapshot(runtime, group, "ITEMS", rows(2) | rows(3, text="b"), offset=contained)
    served.assign(items=second)

    wait_until(lambda: served.passing() == {item(1), item(2), item(3)})
    assert runtime.held[-1][group, "ITEMS"] == Position(runtime.writer.lineage().current, contained)


def test_users_are_looked_up_in_what_was_put_and_then_in_the_snapshot(runtime, group, served):
    held = {name: {"T1": None, "T2": value, "I": None, "F": None} for name, value in (("u1", "x"), ("u2", "x"))}
    served.assign(items=snapshot(runtime, group, "ITEMS", rows(1)), users=snapshot(runtime, group, "USERS", held))
    assert [served.passing("of-user", name) for name in ("u1", "u2", "nobody")] == [set(), set(), {item(1)}]

    runtime.put(group, "USERS", "u1", '{"t2": "y"}')
    runtime.put(group, "USERS", "nobody", '{"t2": "x"}')

    assert [served.passing("of-user", name) for name in ("u1", "u2", "nobody")] == [{item(1)}, set(), set()]


def test_deleted_users_are_unknown_although_the_snapshot_has_them(runtime, group, served):
    held = {name: {"T1": None, "T2": "x", "I": None, "F": None} for name in ("u1", "u2", "u3")}
    users = snapshot(runtime, group, "USERS", held)
    served.assign(items=snapshot(runtime, group, "ITEMS", rows(1)), users=users)
    runtime.put(group, "USERS", "u3", '{"t2": "x"}')
    up_to = runtime.writer.next_offset() - 1
    salt = b"k" * 32
    deletion = write_deletion(
        runtime.store,
        f"datasets/{group.rpartition('/')[2]}/deletions/1",
        DeletionEntry(dataset_group_arn=group, up_to_offset=up_to),
        users=DigestSet.of(salt, map(id_digest, ["u1", "u3"])),
        sessions=DigestSet.of(salt, []),
    )
    for _ in runtime.writer.forget_users(group, deletion):
        pass
    expected = [{item(1)}, set(), {item(1)}]
    wait_until(lambda: [served.passing("of-user", name) for name in ("u1", "u2", "u3")] == expected)

    runtime.put(group, "USERS", "u1", '{"t2": "x"}')
    assert served.passing("of-user", "u1") == set()

    # A snapshot that was made later may have a user of the same id again.
    again = snapshot(runtime, group, "USERS", held, deletions=["1"])
    served.assign(items=snapshot(runtime, group, "ITEMS", rows(1)), users=again)
    wait_until(lambda: served.passing("of-user", "u3") == set())


def test_dataset_that_ended_takes_what_was_put_with_it(runtime, group, served):
    served.assign(items=snapshot(runtime, group, "ITEMS", rows(1)))
    last = runtime.put(group, "ITEMS", item(2), a())
    runtime.wait_for_puts(group, "ITEMS", last)
    assert served.passing() == {item(1), item(2)}

    for _ in runtime.writer.forget(group, "ITEMS", up_to=last):
        pass
    served.assign(items=None)

    wait_until(lambda: served.passing() == set())


def test_snapshot_that_cannot_be_opened_leaves_the_one_before_in_force_until_it_can(runtime, group, served):
    first = snapshot(runtime, group, "ITEMS", rows(1))
    served.assign(items=first)
    second = snapshot(runtime, group, "ITEMS", rows(2))
    manifest = runtime.store.local_folder(second) / "manifest.json"
    kept = manifest.read_bytes()
    manifest.write_bytes(b"{")

    served.assign(items=second)
    assert served.passing() == {item(1)}
    runtime.wait_for_puts(group, "ITEMS", runtime.put(group, "ITEMS", item(7), a()))
    assert served.passing() == {item(1), item(7)}

    manifest.write_bytes(kept)
    wait_until(lambda: served.passing() == {item(1), item(2), item(7)})


def test_first_snapshot_that_cannot_be_opened_makes_filters_unavailable_and_nothing_else(runtime, group, served):
    served.assign(items="datasets/nowhere/features/1")

    error = runtime.refused(served.passing)
    assert isinstance(error, Unavailable)
    assert "features of ITEMS could not be loaded" in error.message
    assert len(ids(runtime.recommend(served.name, user_id="nobody"))) == 25


def test_schema_that_got_wider_reads_what_was_put_with_the_new_column(runtime, group, served):
    served.assign(items=snapshot(runtime, group, "ITEMS", rows(1)))
    runtime.wait_for_puts(
        group, "ITEMS", runtime.put(group, "ITEMS", item(2), '{"t1": "b", "t2": "b", "i": 1, "extra": "z"}')
    )
    fields = [{"name": "T1", "type": ["null", "string"]}, {"name": "EXTRA", "type": ["null", "string"]}]
    wider = json.dumps({"type": "record", "name": "Items", "fields": [{"name": "ITEM_ID", "type": "string"}, *fields]})
    location = runtime.follower.find(group).meaning.locations["ITEMS"]

    runtime.assign(
        group_message(
            group,
            {"ITEMS": location},
            {"a": 'INCLUDE ItemID WHERE Items.EXTRA = "z"'},
            schemas={"ITEMS": wider},
        )
    )

    wait_until(lambda: served.passing() == {item(2)})


def test_answers_are_described_by_what_was_put_last(runtime, group, served):
    served.assign(items=snapshot(runtime, group, "ITEMS", rows(*range(N_ITEMS))))
    columns = {"ITEMS": messages.StringList(values=["T1", "f", "ITEM_ID"])}

    def described():
        answer = runtime.recommend(served.name, user_id="nobody", num_results=50, metadata_columns=columns)
        return {one.item_id: dict(one.metadata) for one in answer.item_list}

    assert described()[item(4)] == {"T1": "a", "f": "", "ITEM_ID": item(4)}
    last = runtime.put(group, "ITEMS", item(4), '{"t1": "b|c", "f": 0.1}')
    runtime.wait_for_puts(group, "ITEMS", last)
    assert described()[item(4)] == {"T1": "b|c", "f": "0.1", "ITEM_ID": item(4)}


def test_log_that_is_replaced_takes_all_puts_with_it(runtime, group, served):
    served.assign(items=snapshot(runtime, group, "ITEMS", rows(1)))
    runtime.wait_for_puts(group, "ITEMS", runtime.put(group, "ITEMS", item(2), a()))
    offset = runtime.writer.next_offset()

    runtime.writer.clear()
    runtime.writer.append([], next_offset=1, lineage=Lineage([Epoch(5, 1)]))
    wait_until(lambda: served.passing() == {item(1)})

    # Offsets of the new log are below that of the snapshot, and are later all the same.
    last = runtime.put(group, "ITEMS", item(1), a("b"))
    assert last < offset
    wait_until(lambda: served.passing() == set())


def test_what_filters_read_is_made_before_a_deployment_is_served(runtime, group):
    runtime.assign(group_message(group, {"ITEMS": snapshot(runtime, group, "ITEMS", rows(1, 2))}, FILTERS))
    made = replace(assignment("bound"), dataset_group_arn=group)
    deployment = Deployment.make(made, runtime.model("personal", group), cache_users=10)

    def table():
        """Return what is there at once: making it would have to be waited for."""
        with pytest.raises(StopIteration) as ended:
            runtime.follower.filter_table(deployment, "ITEMS").send(None)
        return ended.value.value

    async def serve():
        async with runtime.follower.bound(deployment):
            before = table()
            runtime.deployments.serve(deployment)
        return before

    before = runtime.server.loop.run(serve())
    runtime.wait_for_puts(group, "ITEMS", runtime.put(group, "ITEMS", item(5), a()))

    assert before.row(item(1)) is not None
    answer = runtime.recommend("bound", user_id="u", num_results=N_ITEMS, filter_arn=filter_arn("a"))
    assert set(ids(answer)) == {item(1), item(2), item(5)}


def test_refusals_of_a_filter_that_the_schemas_no_longer_fit_leave_nothing_behind(runtime, group, served):
    served.assign({"unfit": 'INCLUDE ItemID WHERE Items.GONE = "a"'}, items=None)
    kept = runtime.follower.find(group).meaning.filters[filter_arn("unfit")]
    frames = list(walk_tb(kept.__traceback__))

    errors = [runtime.refused(served.passing, "unfit") for _ in range(3)]

    assert {type(error) for error in errors} == {InvalidInput}
    assert "GONE" in errors[0].message
    assert len(list(walk_tb(kept.__traceback__))) == len(frames)
