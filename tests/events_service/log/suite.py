"""The contract suite of the event log; each implementation runs it as a subclass."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from common.errors import OffsetOutOfRange, Unavailable
from common.positions import LEGACY_EPOCH
from events_service.domain import ActionInteraction, Entity
from events_service.log import Bounds, LogRemoval, RecordKind, TableLag, UserRemoval
from events_service.records import content_of, log_entry
from tests.events_service.samples import GROUP, SINK, TRACKING_ID, avro, entries, entry, event, table


def offsets(log, start=1):
    return [logged.offset for logged in log.read(start, max_records=10_000).records]


class EventLogSuite:
    """Subclasses provide the fixtures `log`, empty, and `clock`, by which it tells the time."""

    def test_offsets_begin_at_one_and_rise(self, log):
        assert log.append(entries(1, 2), seconds=20) == (1, 2)
        assert log.append(entries(3), seconds=20) == (3,)
        assert log.bounds() == Bounds(1, 4)

    def test_events_come_back_as_they_were_appended(self, log):
        full = event(
            1,
            event_value=0.5,
            properties_json='{"numRatings":12}',
            recommendation_id="RID-1",
            impression=("i1", "i2"),
            attribution_source="front page",
        )
        bare = event(2, user_id=None, item_id=None)

        log.append([entry(full), entry(bare)], seconds=20)

        first, second = log.read(1, max_records=10).records
        assert (content_of(first), content_of(second)) == (full, bare)
        assert (first.tracking_id, first.dataset_group_arn) == (TRACKING_ID, GROUP)

    def test_repeated_event_is_kept_once_and_keeps_its_offset(self, log):
        log.append(entries(1, 2), seconds=20)

        assert log.append(entries(2, 3), seconds=20) == (2, 3)
        assert offsets(log) == [1, 2, 3]

    def test_records_have_positions_on_the_lineage_of_the_log(self, log):
        log.append(entries(1, 2), seconds=20)
        log.append(entries(3), seconds=20)

        assert [log.position(offset) for offset in (1, 2, 3)] == [log.lineage().at(offset) for offset in (1, 2, 3)]
        assert log.position(3).epoch == log.lineage().current != LEGACY_EPOCH

    def test_appends_that_nobody_waits_for_end_with_their_offsets(self, log):
        futures = [log.submit(entries(1, 2)), log.submit(entries(2, 3)), log.submit(entries(3, 1, 4))]

        assert [future.result(20) for future in futures] == [(1, 2), (2, 3), (3, 1, 4)]
        assert offsets(log) == [1, 2, 3, 4]

    def test_event_that_is_sent_twice_in_one_call_is_kept_once(self, log):
        assert log.append(entries(1, 1), seconds=20) == (1, 1)

    def test_same_id_of_another_tracker_is_another_event(self, log):
        log.append(entries(1), seconds=20)

        assert log.append(entries(1, tracking_id="other"), seconds=20) == (2,)

    def test_usage_counts_records_by_their_offsets_and_dates_the_oldest(self, log, clock):
        assert (log.usage().records, log.usage().oldest) == (0, None)
        before = clock.now()
        log.append(entries(1, 2), seconds=20)
        clock.advance(seconds=3600)
        log.append(entries(3), seconds=20)

        usage = log.usage()

        assert usage.records == 3
        assert abs(usage.oldest - before) < timedelta(minutes=1)
        assert usage.bytes > 0

    def test_page_ends_at_max_records(self, log):
        log.append(entries(1, 2, 3), seconds=20)

        assert [logged.offset for logged in log.read(2, max_records=1).records] == [2]

    def test_page_of_long_records_ends_early_and_the_next_goes_on(self, log):
        for number in range(40):
            log.append([entry(event(number, properties_json="x" * 1_000_000))], seconds=60)

        page = log.read(1, max_records=10_000)
        of_table = log.table_records(table().location, after=0, max_records=10_000)

        assert len(page.records) == len(of_table) < 40
        assert page.next_offset == page.records[-1].offset + 1
        assert len(log.read(page.next_offset, max_records=10).records) == 10

    def test_schema_of_a_table_gets_wider_and_never_narrower(self, log):
        wider = replace(table(), schema=avro(*[(name, "string") for name in "abcdefghijk"]))
        log.append(entries(1), seconds=20)
        log.append(entries(2, to=wider), seconds=20)
        log.append(entries(3), seconds=20)

        assert [lag.table for lag in log.lags(SINK)] == [wider]

    def test_next_offset_can_be_read_and_is_empty(self, log):
        log.append(entries(1), seconds=20)

        assert log.read(2, max_records=10).records == []

    def test_offset_beyond_the_next_one_is_out_of_range(self, log):
        with pytest.raises(OffsetOutOfRange) as caught:
            log.read(2, max_records=10)

        assert caught.value.metadata == {"earliest_offset": "1", "next_offset": "1"}

    def test_append_notifies_once_the_event_can_be_read(self, log):
        before = log.appended.changes

        log.append(entries(1), seconds=20)
        asyncio.run(log.appended.wait(before, seconds=3600))

        assert (log.appended.changes, offsets(log)) == (before + 1, [1])

    def test_append_of_a_repeated_event_and_bookkeeping_do_not_notify(self, log):
        log.append(entries(1), seconds=20)
        before = log.appended.changes

        log.append(entries(1), seconds=20)
        log.mark_consumed(SINK, table().location, 1)

        assert log.appended.changes == before

    def test_many_threads_append_without_gap_or_loss(self, log):
        offsets_given = []

        def send(thread) -> None:
            for number in range(25):
                offsets_given.extend(log.append(entries(1000 * thread + number), seconds=60))

        threads = [threading.Thread(target=send, args=[thread]) for thread in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(offsets_given) == list(range(1, 401))
        assert offsets(log) == list(range(1, 401))

    def test_table_lag_is_what_is_not_committed(self, log):
        films, books = table("datasets/films"), table("datasets/books")
        log.append(entries(1, to=films), seconds=20)
        log.append(entries(2, to=books, tracking_id="books"), seconds=20)
        log.append(entries(3, to=films, tracking_id="later"), seconds=20)

        log.mark_consumed(SINK, "datasets/films", 1)

        assert log.lags(SINK) == [TableLag(films, 1, 3), TableLag(books, 0, 2)]

    def test_committed_table_has_no_lag_until_its_next_event(self, log):
        log.append(entries(1), seconds=20)
        log.mark_consumed(SINK, table().location, 1)
        assert log.lags(SINK) == []

        log.append(entries(2), seconds=20)

        assert [(lag.committed_offset, lag.last_offset) for lag in log.lags(SINK)] == [(1, 2)]

    def test_table_events_are_those_of_one_table_after_an_offset(self, log):
        films, books = table("datasets/films"), table("datasets/books")
        for number, target in ((1, films), (2, books), (3, films), (4, films)):
            log.append(entries(number, to=target), seconds=20)

        assert [item.offset for item in log.table_records("datasets/films", after=1, max_records=10)] == [3, 4]
        assert [item.offset for item in log.table_records("datasets/films", after=0, max_records=2)] == [1, 3]
        assert log.table_records("datasets/none", after=0, max_records=2) == []

    def test_removed_table_leaves_nothing_but_its_end_until_its_next_event(self, log):
        log.append(entries(1, 2), seconds=20)

        assert log.remove_table(table().location) == 2

        assert (log.lags(SINK), log.tables()) == ([], [])
        page = log.read(1, max_records=10)
        assert (page.records, page.removals, page.next_offset) == ([], [LogRemoval(3, GROUP, "INTERACTIONS", 2)], 4)
        log.append(entries(3), seconds=20)
        assert [(lag.committed_offset, lag.last_offset) for lag in log.lags(SINK)] == [(0, 4)]

    def test_end_of_a_table_is_logged_once(self, log):
        log.append(entries(1), seconds=20)
        log.remove_table(table().location)

        assert log.remove_table(table().location) == 0
        assert len(log.read(1, max_records=10).removals) == 1

    def test_end_of_a_table_spares_the_events_of_the_one_that_followed_it(self, log):
        log.append(entries(1, 2), seconds=20)
        log.append(entries(3, 4, to=table("datasets/films/again")), seconds=20)

        log.remove_table(table().location)

        page = log.read(1, max_records=10)
        assert [logged.offset for logged in page.records] == [3, 4]
        assert page.removals == [LogRemoval(5, GROUP, "INTERACTIONS", 2)]

    def test_end_of_a_table_is_notified(self, log):
        log.append(entries(1), seconds=20)
        before = log.appended.changes

        log.remove_table(table().location)

        assert log.appended.changes == before + 1

    def test_page_that_is_full_ends_before_the_removals_behind_it(self, log):
        log.append(entries(1, 2), seconds=20)
        log.append(entries(3, to=table("datasets/books")), seconds=20)
        log.remove_table("datasets/books")

        first = log.read(1, max_records=2)
        second = log.read(first.next_offset, max_records=2)

        assert (first.removals, first.next_offset) == ([], 3)
        assert ([item.offset for item in second.removals], second.next_offset) == ([4], 5)

    def test_same_event_of_a_dataset_that_was_made_anew_is_another(self, log):
        log.append(entries(1), seconds=20)

        assert log.append(entries(1, to=table("datasets/films/again")), seconds=20) == (2,)

    def test_old_committed_events_are_removed_and_their_offsets_out_of_range(self, log, clock):
        log.append(entries(1, 2), seconds=20)
        clock.advance(seconds=100)
        log.append(entries(3), seconds=20)
        log.mark_consumed(SINK, table().location, 3)

        assert log.remove_old(timedelta(seconds=50), kept_for=[SINK]) == 2

        assert log.bounds() == Bounds(3, 4)
        assert offsets(log, 3) == [3]
        with pytest.raises(OffsetOutOfRange) as caught:
            log.read(2, max_records=10)
        assert caught.value.metadata == {"earliest_offset": "3", "next_offset": "4"}

    def test_table_that_lags_does_not_delay_the_removal_of_others(self, log, clock):
        log.append(entries(1, to=table("datasets/films")), seconds=20)
        log.append(entries(2, to=table("datasets/books")), seconds=20)
        log.append(entries(3, 4, to=table("datasets/films")), seconds=20)
        log.mark_consumed(SINK, "datasets/films", 3)
        clock.advance(seconds=100)

        assert log.remove_old(timedelta(0), kept_for=[SINK]) == 2

        assert log.bounds() == Bounds(2, 5)
        assert offsets(log, 2) == [2, 4]
        assert log.read(3, max_records=10).next_offset == 5

    def test_offsets_go_on_after_everything_was_removed(self, log, clock):
        log.append(entries(1, 2), seconds=20)
        log.mark_consumed(SINK, table().location, 2)
        clock.advance(seconds=100)
        log.remove_old(timedelta(0), kept_for=[SINK])

        assert log.append(entries(3), seconds=20) == (3,)
        assert log.bounds() == Bounds(3, 4)

    def test_offsets_go_on_above_one_that_is_left_out(self, log):
        log.append(entries(1, 2), seconds=20)
        before = log.lineage()
        changes = log.appended.changes

        log.begin_after(99)
        log.begin_after(50)

        assert log.bounds() == Bounds(1, 100)
        assert log.appended.changes == changes + 1
        assert log.append(entries(2, 3), seconds=20) == (2, 100)
        page = log.read(3, max_records=10)
        assert ([item.offset for item in page.records], page.next_offset) == ([100], 101)
        assert log.lineage() == before

    def test_offsets_that_are_left_out_at_first_belong_to_the_new_epoch(self, log):
        log.begin_after(9)

        assert log.append(entries(1), seconds=20) == (10,)
        assert [item.first_offset for item in log.lineage()] == [1]

    def test_records_of_every_kind_come_back(self, log):
        contents = {
            RecordKind.ITEM: ("ITEMS", Entity("i1", '{"genre":"war"}')),
            RecordKind.USER: ("USERS", Entity("u1")),
            RecordKind.ACTION: ("ACTIONS", Entity("a1", '{"value":3}')),
            RecordKind.ACTION_INTERACTION: (
                "ACTION_INTERACTIONS",
                ActionInteraction("e1", "s", "Taken", 5, "a1", user_id="u", impression=("a1", "a2")),
            ),
        }
        for dataset_type, content in contents.values():
            to = replace(table(f"datasets/{dataset_type}"), dataset_type=dataset_type)
            log.append([log_entry(to, content)], seconds=20)

        records = log.read(1, max_records=10).records

        assert [(record.kind, content_of(record)) for record in records] == [
            (kind, content) for kind, (_, content) in contents.items()
        ]
        assert [lag.table.dataset_type for lag in log.lags(SINK)] == [name for name, _ in contents.values()]

    def test_record_without_an_id_may_repeat(self, log):
        items = replace(table("datasets/items"), dataset_type="ITEMS")

        offsets_given = log.append([log_entry(items, Entity("i1")), log_entry(items, Entity("i1"))], seconds=20)

        assert offsets_given == (1, 2)

    def test_each_consumer_has_a_cursor_of_its_own(self, log):
        log.append(entries(1, 2), seconds=20)

        log.mark_consumed(SINK, table().location, 2)
        log.mark_consumed("attribution", table().location, 1)

        assert log.lags(SINK) == []
        assert log.lag("attribution", table().location) == TableLag(table(), 1, 2)
        assert log.lag("third", table().location) == TableLag(table(), 0, 2)

    def test_records_stay_for_the_consumers_that_must_not_miss_any(self, log, clock):
        log.append(entries(1, 2), seconds=20)
        log.mark_consumed(SINK, table().location, 2)
        log.mark_consumed("ledger", table().location, 1)
        clock.advance(seconds=100)

        assert log.remove_old(timedelta(0), kept_for=[SINK, "ledger"]) == 1
        assert log.remove_old(timedelta(0), kept_for=[SINK, "unheard of"]) == 0

        assert offsets(log, 2) == [2]

    def test_consumer_that_nothing_is_kept_for_is_told_what_it_missed(self, log, clock):
        log.append(entries(1, 2), seconds=20)
        log.mark_consumed(SINK, table().location, 2)
        log.mark_consumed("attribution", table().location, 1)
        clock.advance(seconds=100)
        log.remove_old(timedelta(0), kept_for=[SINK])

        log.append(entries(3), seconds=20)

        assert log.lag("attribution", table().location) == TableLag(table(), 1, 3, missed_offset=2)
        assert log.lag(SINK, table().location) == TableLag(table(), 2, 3)

    def test_end_of_a_table_of_another_type_says_so(self, log):
        items = replace(table("datasets/items"), dataset_type="ITEMS")
        log.append([log_entry(items, Entity("i1"))], seconds=20)
        log.append(entries(1), seconds=20)

        log.remove_table(items.location)

        assert log.read(1, max_records=10).removals == [LogRemoval(3, GROUP, "ITEMS", 2)]

    def test_closed_log_refuses(self, log):
        log.close()

        with pytest.raises(Unavailable):
            log.append(entries(1), seconds=20)
        with pytest.raises(Unavailable):
            log.read(1, max_records=10)

    def test_removed_records_are_gone_and_the_others_stay(self, log):
        log.append(entries(1, 2, 3), seconds=20)
        log.append(entries(4, to=table("datasets/books")), seconds=20)

        assert log.remove_records(table().location, [1, 3, 4, 99]) == 2

        assert offsets(log) == [2, 4]
        assert log.remove_records(table().location, [1, 3]) == 0
        assert log.append(entries(5), seconds=20) == (5,)

    def test_deletion_of_users_is_an_entry_between_the_records(self, log):
        first = log.append_user_removal(GROUP, location="datasets/a/g/deletions/0", up_to_offset=0)
        log.append(entries(1), seconds=20)
        before = log.appended.changes

        offset = log.append_user_removal(GROUP, location="datasets/a/g/deletions/1", up_to_offset=2)

        assert (first, offset, log.appended.changes) == (1, 3, before + 1)
        assert log.append(entries(2), seconds=20) == (4,)
        page = log.read(2, max_records=10)
        assert [logged.offset for logged in page.records] == [2, 4]
        assert page.user_removals == [UserRemoval(3, GROUP, "datasets/a/g/deletions/1", 2)]

    def test_deletion_of_users_is_logged_once(self, log):
        offset = log.append_user_removal(GROUP, location="datasets/a/g/deletions/1", up_to_offset=0)

        assert log.append_user_removal(GROUP, location="datasets/a/g/deletions/1", up_to_offset=0) == offset
        assert log.bounds().end == offset + 1
