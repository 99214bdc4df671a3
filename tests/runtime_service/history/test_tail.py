"""The tail of the log: in order, across gaps, outages and replaced logs, and soon."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from functools import partial

import pytest

from common.deletions import DigestSet, id_digest, write_deletion
from common.positions import LEGACY_EPOCH, START, Epoch, Lineage
from common.rpc import aio_channel
from common.settings import StoreSettings
from common.storage.objects import open_store
from common.telemetry.shared import Block, SharedFigures
from common.testing import loop_in_thread, wait_until
from protos.tailorbird.storage.v1.deletion_pb2 import DeletionEntry
from runtime_service.figures import FIGURES
from runtime_service.history import HistoryEvent, Put
from runtime_service.history.freshness import Freshness
from runtime_service.history.held import HeldPositions
from runtime_service.history.keys import digest, key
from runtime_service.history.lmdb import LmdbHistoryWriter
from runtime_service.history.records import StoredHistory
from runtime_service.recorded_answers.ring import AnswerRing, RecordedAnswer, erase_answers, find_answer
from runtime_service.server import follow_log
from tests.common.telemetry.shown import shown
from tests.runtime_service.backends import Log, running_backends
from tests.runtime_service.world import GROUP, item, user


class RecordingWriter(LmdbHistoryWriter):
    """A writer that also records what is appended to it: a store is opened once in a process."""

    def __init__(self, folder) -> None:
        super().__init__(folder, max_events=10)
        self.appended: list[HistoryEvent] = []
        self.put_list: list[Put] = []
        self.cleared = 0

    def append(self, events, *, next_offset, puts=(), lineage=None):
        super().append(events, next_offset=next_offset, puts=puts, lineage=lineage)
        self.appended += events
        self.put_list += puts

    def clear(self):
        super().clear()
        self.cleared += 1

    def items(self, user_id, kind=b"u"):
        """Return the items of a user, read as the writer reads them."""
        with self._environment.begin() as transaction:
            payload = transaction.get(key(digest(GROUP), kind, user_id), db=self._histories)
        return [event.item_id for event in StoredHistory(payload).events()] if payload else []

    def stored_puts(self, dataset_type):
        with self._environment.begin() as transaction:
            puts = self._puts.after(transaction, GROUP, dataset_type, offset=0, limit=100)
        return [put.entity_id for put in puts]

    def shown_keys(self):
        with self._environment.begin() as transaction:
            return transaction.stat(self._shown)["entries"]


@pytest.fixture
def store(tmp_path):
    return open_store(StoreSettings(store_url=str(tmp_path / "store")))


@pytest.fixture
def follow(history_folder, store):
    """Follow a log, and give the history that is written."""

    @contextmanager
    def run(backends, **members):
        history, held = RecordingWriter(history_folder), HeldPositions(history_folder, names=["worker-0"])
        freshness = Freshness(history_folder / "current", limit_seconds=5.0)

        def connect():
            return aio_channel(backends.server.target, token=backends.keys.token("runtime"))

        work = follow_log(connect, history, store, held=held, freshness=freshness, wait_seconds=1.0, **members)
        with loop_in_thread() as loop, loop.running(work):
            yield history

    return run


def test_events_arrive_whole_and_in_order(follow):
    with running_backends(log=Log(first=1)) as backends, follow(backends) as history:
        for place in range(5):
            backends.log.send(user(place), item(place), session_id=f"s{place}", millis=1000 + place)
        wait_until(lambda: len(history.appended) == 5)

        assert history.appended[2] == HistoryEvent(3, GROUP, "s2", user(2), item(2), "watch", "e-3", 1002)
        assert [event.offset for event in history.appended] == [1, 2, 3, 4, 5]
        assert history.next_offset() == 6


def test_event_that_comes_while_the_tail_waits_is_written_soon(follow):
    with running_backends(log=Log(first=1)) as backends, follow(backends) as history:
        taken = []
        for place in range(20):
            began = time.monotonic()
            backends.log.send(user(0), item(place))
            wait_until(lambda: len(history.appended) > place, every=0.001)  # noqa: B023 - called before the next place
            taken.append(time.monotonic() - began)

        assert sorted(taken)[-2] < 0.1


def test_more_events_than_one_page_has_are_all_written(follow):
    log = Log(first=1)
    for place in range(2500):
        log.send(user(place), item(0))
    with running_backends(log=log) as backends, follow(backends) as history:
        wait_until(lambda: history.next_offset() == 2501)

        assert [event.offset for event in history.appended] == list(range(1, 2501))


def test_events_that_the_log_no_longer_keeps_are_skipped(follow):
    log = Log(first=100)
    log.send(user(0), item(0))
    with running_backends(log=log) as backends, follow(backends) as history:
        wait_until(lambda: history.next_offset() == 101)

        assert [event.offset for event in history.appended] == [100]


def test_another_log_makes_the_history_forget(follow):
    with running_backends(log=Log(first=1)) as backends, follow(backends) as history:
        backends.log.send(user(0), item(0))
        backends.log.send(user(0), item(1))
        wait_until(lambda: history.next_offset() == 3)

        backends.log.replace()

        wait_until(lambda: history.cleared == 1)
        backends.log.send(user(0), item(2))
        wait_until(lambda: history.next_offset() == 2)
        assert history.appended[-1].item_id == item(2)


def test_another_log_that_is_longer_makes_the_history_forget(follow):
    with running_backends(log=Log(first=1)) as backends, follow(backends) as history:
        backends.log.send(user(0), item(0))
        wait_until(lambda: history.next_offset() == 2)

        backends.log.replace((user(1), item(1)), (user(1), item(2)), (user(1), item(3)))

        wait_until(lambda: history.cleared == 1)
        wait_until(lambda: history.next_offset() == 4)
        assert [event.item_id for event in history.appended] == [item(0), item(1), item(2), item(3)]
        assert history.lineage() == Lineage([Epoch(99, 1)])


def test_log_that_goes_on_in_a_new_epoch_is_followed_without_a_gap(follow):
    with running_backends(log=Log(first=1)) as backends, follow(backends) as history:
        backends.log.send(user(0), item(0))
        wait_until(lambda: history.next_offset() == 2)

        backends.log.restore(2, epoch=77)
        backends.log.send(user(0), item(1))

        wait_until(lambda: history.next_offset() == 3)
        assert history.lineage() == Lineage([Epoch(LEGACY_EPOCH, 1), Epoch(77, 2)])
        assert history.cleared == 0


def test_log_that_is_restored_from_before_the_end_makes_the_history_forget_what_is_gone(follow):
    with running_backends(log=Log(first=1)) as backends, follow(backends) as history:
        for place in range(4):
            backends.log.send(user(0), item(place))
        wait_until(lambda: history.next_offset() == 5)

        backends.log.restore(3, epoch=77)
        for place in range(10, 15):
            backends.log.send(user(0), item(place))

        wait_until(lambda: history.cleared == 1)
        wait_until(lambda: history.next_offset() == 8)
        again = history.appended[4:]
        assert [event.item_id for event in again] == [item(place) for place in (0, 1, 10, 11, 12, 13, 14)]


def test_deleted_users_are_forgotten_up_to_the_deletion_and_no_others_are(follow, store):
    salt = b"k" * 32
    deletion = write_deletion(
        store,
        "datasets/a/films/deletions/1",
        DeletionEntry(dataset_group_arn=GROUP, up_to_offset=4),
        users=DigestSet.of(salt, map(id_digest, [user(0), user(2)])),
        sessions=DigestSet.of(salt, map(id_digest, ["s0"])),
    )
    with running_backends(log=Log(first=1)) as backends, follow(backends) as history:
        for number in range(3):
            backends.log.send(user(number), item(number), session_id=f"s{number}")
        backends.log.send("", item(5), session_id="s0")
        backends.log.send(user(0), item(4))
        backends.log.remove_users("datasets/a/films/deletions/of-a-group-that-is-gone", up_to=5)
        backends.log.remove_users(deletion.location, up_to=4)
        backends.log.send(user(2), item(6))

        wait_until(lambda: history.next_offset() == 9)
        # The event without a user came before the one that names the session's, and is gone with the session.
        assert [history.items(user(number)) for number in range(3)] == [[item(4)], [item(1)], [item(6)]]
        assert history.items("s0", kind=b"s") == []


def test_recorded_answers_are_erased_with_what_they_may_be_of(follow, tmp_path):
    ring = AnswerRing(tmp_path / "answers", "worker-0", max_bytes=4096)
    names = [f"RID-{number:032x}" for number in (1, 2)]
    with (
        running_backends(log=Log(first=1)) as backends,
        follow(backends, forget_answers=partial(erase_answers, ring.folder)) as history,
    ):
        backends.log.send(user(0), item(0))
        wait_until(lambda: history.next_offset() == 2)

        ring.record(names[0], RecordedAnswer("GetRecommendations", "d", "a", START, 0, b"of a user", b""))
        backends.log.remove_users("datasets/a/films/deletions/of-a-group-that-is-gone", up_to=1)
        wait_until(lambda: find_answer(ring.folder, names[0]) is None)

        ring.record(names[1], RecordedAnswer("GetRecommendations", "d", "a", START, 0, b"of another", b""))
        backends.log.remove(up_to=1)
        wait_until(lambda: find_answer(ring.folder, names[1]) is None)
        assert (ring.folder / "worker-0.ring").read_bytes() == bytes(4096)
    ring.close()


def test_answers_that_cannot_be_erased_are_tried_again_before_the_tail_goes_on(follow, tmp_path):
    folder, block = tmp_path / "answers", Block("tail")
    obstacle = folder / "worker-1.ring"
    obstacle.mkdir(parents=True)
    with (
        running_backends(log=Log(first=1)) as backends,
        follow(backends, forget_answers=partial(erase_answers, folder), figures=SharedFigures(block)) as history,
    ):
        backends.log.send(user(0), item(0))
        backends.log.remove(up_to=1)
        backends.log.send(user(1), item(1))
        wait_until(lambda: shown([block], FIGURES).get(("tailorbird_tail_failures_total",), 0) >= 2)
        assert history.items(user(1)) == []

        obstacle.rmdir()
        wait_until(lambda: history.items(user(1)) == [item(1)])


def test_deleted_dataset_is_forgotten_and_the_one_that_followed_it_is_not(follow):
    with running_backends(log=Log(first=1)) as backends, follow(backends) as history:
        backends.log.send(user(0), item(0), impression=[item(5)])
        backends.log.send(user(0), item(1))
        backends.log.send(user(0), item(2))
        backends.log.send(user(1), item(3))
        wait_until(lambda: history.next_offset() == 5)

        backends.log.remove(up_to=2)
        backends.log.send(user(1), item(4))
        wait_until(lambda: history.next_offset() == 7)

        assert history.items(user(0)) == [item(2)]
        assert history.items(user(1)) == [item(3), item(4)]
        assert history.shown_keys() == 0


def test_tail_goes_on_where_it_ended(follow, history_folder):
    with running_backends(log=Log(first=1)) as backends:
        backends.log.send(user(0), item(0))
        with follow(backends) as history:
            wait_until(lambda: history.next_offset() == 2)
        backends.log.send(user(0), item(1))
        with follow(backends) as again:
            wait_until(lambda: again.next_offset() == 3)

            assert [event.item_id for event in again.appended] == [item(1)]


def test_values_and_what_was_shown_come_along(follow):
    with running_backends(log=Log(first=1)) as backends, follow(backends) as history:
        backends.log.send(user(0), item(0), event_value=2.5, impression=[item(1), item(2)])
        backends.log.send(user(0), item(1), recommendation_id="RID-1")
        wait_until(lambda: history.next_offset() == 3)

        first, second = history.appended
        assert (first.recommendation_id, second.recommendation_id) == ("", "RID-1")
        assert (first.value, first.impression) == (2.5, (item(1), item(2)))
        assert math.isnan(second.value)
        assert second.impression == ()


def test_log_that_is_unreachable_is_retried(follow):
    with running_backends(log=Log(first=1)) as backends, follow(backends) as history:
        backends.log.send(user(0), item(0))
        wait_until(lambda: history.next_offset() == 2)

        backends.log.refuse(3)
        backends.log.send(user(0), item(1))
        backends.log.send(user(0), item(2))

        wait_until(lambda: history.next_offset() == 4)


def test_what_is_put_is_stored_beside_the_histories(follow):
    with running_backends(log=Log(first=1)) as backends, follow(backends) as history:
        backends.log.put("new", genres="a|b")
        backends.log.send(user(0), item(0))
        backends.log.put("newer")
        backends.log.put("u", kind="user", age=3)
        backends.log.put("act", kind="action")
        wait_until(lambda: history.next_offset() == 6)

        assert [event.offset for event in history.appended] == [2]
        assert history.put_list == [
            Put(1, GROUP, "ITEMS", "new", '{"genres": "a|b"}'),
            Put(3, GROUP, "ITEMS", "newer", None),
            Put(4, GROUP, "USERS", "u", '{"age": 3}'),
            Put(5, GROUP, "ACTIONS", "act", None),
        ]


def test_what_was_put_into_a_dataset_goes_with_it_and_histories_stay(follow):
    with running_backends(log=Log(first=1)) as backends, follow(backends) as history:
        backends.log.put("new")
        backends.log.send(user(0), item(0))
        backends.log.remove(up_to=2, dataset_type="ITEMS")
        backends.log.put("newer")
        wait_until(lambda: history.next_offset() == 5)

        assert history.items(user(0)) == [item(0)]
        assert history.stored_puts("ITEMS") == ["newer"]


def test_what_users_did_with_actions_is_a_history_of_its_own(follow):
    with running_backends(log=Log(first=1)) as backends, follow(backends) as history:
        backends.log.act("", "lower", "Viewed", session_id="s")
        backends.log.act(user(0), "upper", "Taken", session_id="s")
        backends.log.send(user(0), item(0))
        wait_until(lambda: history.next_offset() == 4)
        assert (history.items(user(0), kind=b"a"), history.items(user(0))) == (["lower", "upper"], [item(0)])

        backends.log.remove(up_to=3, dataset_type="ACTION_INTERACTIONS")
        wait_until(lambda: history.next_offset() == 5)
        assert (history.items(user(0), kind=b"a"), history.items(user(0))) == ([], [item(0)])


def test_end_of_another_dataset_forgets_no_history(follow):
    with running_backends(log=Log(first=1)) as backends, follow(backends) as history:
        backends.log.send(user(0), item(0))
        backends.log.remove(up_to=1, dataset_type="ITEMS")
        wait_until(lambda: history.next_offset() == 3)

        assert history.items(user(0)) == [item(0)]
