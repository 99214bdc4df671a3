"""Counts of events by item and time, written by the tail, and the lists that follow from them."""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing

import numpy as np
import pytest

from common.positions import LEGACY_EPOCH, Position
from inference.model import ModelLoader
from inference.new_items import NewIds
from inference.request import RecommendationRequest
from recipes.data.training_data import Interactions, TrainingData
from recipes.models.trending.config import TrendingConfig
from recipes.models.trending.fit import TrendingFitter
from recipes.models.trending.score import BUCKET_SECONDS
from runtime_service.history import HistoryEvent
from runtime_service.history.lmdb import LmdbHistoryReader, LmdbHistoryWriter
from runtime_service.serving.deployments import Deployment
from runtime_service.serving.recommender import Recommender
from runtime_service.serving.trending_list import TrendingList
from tests.runtime_service.world import GROUP, assignment, fit, item, publish

NOW = 1_700_000_100.0
BUCKET = int(NOW // BUCKET_SECONDS)
DAY = 86_400.0


def event(offset, item_id="a", *, ago=0.0, event_type="watch", event_id="", group=GROUP, user="u", session=""):
    return HistoryEvent(
        offset=offset,
        dataset_group_arn=group,
        session_id=session,
        user_id=user,
        item_id=item_id,
        event_type=event_type,
        event_id=event_id,
        millis=int((NOW - ago) * 1000),
    )


@pytest.fixture
def write(history_folder):
    """Append events as a tail does that is started and stopped, at some moment."""

    def append(*events, now=NOW):
        with closing(LmdbHistoryWriter(history_folder, max_events=3, now=lambda: now)) as writer:
            writer.append(events, next_offset=events[-1].offset + 1)

    return append


@pytest.fixture
def read(history_folder):
    """Read the counts by bucket; those that did not change are None."""

    def counts(*, first_bucket=0, read_positions=None, group=GROUP):
        with closing(LmdbHistoryReader(history_folder)) as reader:
            buckets = reader.counts(group, first_bucket=first_bucket, read_positions=read_positions or {})
        return {
            counts.bucket: counts.counters and {(one.event_type, one.item_id): one.count for one in counts.counters}
            for counts in buckets
        }

    return counts


def test_nothing_is_counted_at_first(read):
    assert read() == {}


def test_events_are_counted_by_item_type_and_time(write, read):
    write(event(1), event(2), event(3, event_type="buy"), event(4, "größe", ago=BUCKET_SECONDS))
    write(event(5))

    assert read() == {BUCKET: {("watch", "a"): 3, ("buy", "a"): 1}, BUCKET - 1: {("watch", "größe"): 1}}


def test_an_event_that_was_sent_twice_or_read_again_counts_once(write, read):
    write(event(1, event_id="same"), event(2, event_id="same"))
    write(event(1, event_id="same"), event(2, event_id="same"), event(3, event_id="other"))

    assert read() == {BUCKET: {("watch", "a"): 2}}


def test_a_visitor_who_logs_in_is_not_counted_again(write, read):
    write(event(1, user="", session="s"), event(2, "b", session="s"))

    assert read() == {BUCKET: {("watch", "a"): 1, ("watch", "b"): 1}}


def test_an_item_and_its_type_are_not_confused(write, read):
    write(event(1, "ba", event_type="a"), event(2, "a", event_type="ab"))

    assert read() == {BUCKET: {("a", "ba"): 1, ("ab", "a"): 1}}


def test_other_groups_are_apart(write, read):
    write(event(1), event(2, "b", group=GROUP + "-2"))

    assert read(group=GROUP + "-2") == {BUCKET: {("watch", "b"): 1}}


def test_what_is_known_is_not_read_again(write, read):
    write(event(1), event(2, ago=BUCKET_SECONDS))

    assert read(read_positions={BUCKET: Position(LEGACY_EPOCH, 1), BUCKET - 1: Position(LEGACY_EPOCH, 1)}) == {
        BUCKET: None,
        BUCKET - 1: {("watch", "a"): 1},
    }


def test_older_buckets_than_asked_for_are_not_read(write, read):
    write(event(1), event(2, ago=BUCKET_SECONDS))

    assert set(read(first_bucket=BUCKET)) == {BUCKET}


def test_what_no_interval_reaches_is_neither_counted_nor_kept(write, read):
    write(event(1, ago=8 * DAY), event(2, ago=6 * DAY), event(3, ago=-2 * DAY))
    assert len(read()) == 1

    write(event(4, ago=-2 * DAY), now=NOW + 2 * DAY)
    assert list(read().values()) == [{("watch", "a"): 1}]
    assert min(read()) > BUCKET


def test_counters_of_the_oldest_quarters_go_when_there_are_too_many(history_folder, read):
    ages = [2 * BUCKET_SECONDS] * 10 + [BUCKET_SECONDS] * 10 + [0.0] * 12
    with closing(LmdbHistoryWriter(history_folder, max_events=3, max_counters=15, now=lambda: NOW)) as writer:
        for offset, ago in enumerate(ages, 1):
            writer.append([event(offset, f"item-{offset}", ago=ago)], next_offset=offset + 1)

    assert {bucket: len(counts) for bucket, counts in read().items()} == {BUCKET - 1: 3, BUCKET: 12}


def test_another_log_begins_with_no_counts(write, read, history_folder):
    write(event(1))
    with closing(LmdbHistoryWriter(history_folder, max_events=3)) as writer:
        writer.clear()

    assert read() == {}


@pytest.fixture
def trend():
    """A model of two hours in which `a` was imported five times and `b` twice, an hour ago."""
    items = np.array([0] * 5 + [1] * 2)
    data = TrainingData(
        Interactions.sort(np.arange(7), item=items, timestamp=np.full(7, int(NOW) - 3600)), n_users=7, n_items=2
    )
    return TrendingFitter(TrendingConfig(), seed=0).fit(data)


class Names:
    """The vocabulary of two items."""

    def index(self, item_id):
        return {"a": 0, "b": 1}.get(item_id)


def ids(trend, new_ids):
    return ["ab"[index] if index < 2 else new_ids.id(index) for index in trend.best.tolist()]


@pytest.fixture
def listed(trend, history_folder):
    """Ask for the list at some moment; all questions are to one campaign."""
    moment, new_ids = [NOW], NewIds(2)
    lists = {
        event_type: TrendingList(
            trend, Names(), new_ids=new_ids, dataset_group_arn=GROUP, event_type=event_type, now=lambda: moment[0]
        )
        for event_type in (None, "buy")
    }

    def ask(*, later=0.0, limit=9, event_type=None):
        moment[0] = NOW + later
        with closing(LmdbHistoryReader(history_folder)) as reader:
            made = asyncio.run(lists[event_type].current(reader))
        return made and ids(made, new_ids)[:limit]

    ask.new_ids = new_ids
    return ask


def test_imports_trend_until_two_intervals_have_passed(listed):
    assert listed() == ["a", "b"]
    assert listed(limit=1) == ["a"]
    assert listed(later=4 * 3600) is None


def test_events_change_the_list_within_seconds_also_by_new_items(write, listed):
    assert listed() == ["a", "b"]
    write(*(event(offset, "new", user=f"u{offset}") for offset in range(1, 10)))

    assert listed(later=0.5) == ["a", "b"]  # good for two seconds
    assert listed(later=5.0) == ["new", "a", "b"]


def test_only_the_event_type_of_the_campaign_counts(write, listed):
    write(*(event(offset, "new", user=f"u{offset}") for offset in range(1, 10)))
    write(event(10, "b", event_type="buy"))

    assert listed(event_type="buy") == ["a", "b"]
    assert listed() == ["new", "a", "b"]


def test_of_many_items_that_nobody_knows_few_count_and_they_are_forgotten_with_their_events(write, listed):
    write(*(event(offset, f"made-up-{offset % 2000}", user=f"u{offset}") for offset in range(1, 4001)))
    write(*(event(offset, "new", user=f"u{offset}") for offset in range(4001, 4010)))

    assert listed()[0] == "new"
    assert len(listed.new_ids) == 500

    assert listed(later=DAY) is None
    assert listed.new_ids.index("new") is None


def test_items_that_nobody_knows_keep_their_names_when_others_are_forgotten(write, listed, trend):
    oldest = (BUCKET - trend.first_bucket(NOW)) * BUCKET_SECONDS
    write(*(event(offset, f"old-{offset % 3}", user=f"u{offset}", ago=oldest) for offset in range(1, 10)))
    write(*(event(offset, "new", user=f"u{offset}") for offset in range(10, 20)))
    assert listed()[0] == "new"
    assert len(listed.new_ids) == 4
    index = listed.new_ids.index("new")

    assert listed(later=BUCKET_SECONDS)[0] == "new"
    assert listed.new_ids.index("new") == index
    assert listed.new_ids.index("old-1") is None


class HeldReader(LmdbHistoryReader):
    """Reads counts once a test lets it, and counts the calls."""

    def __init__(self, folder):
        super().__init__(folder)
        self.n_calls, self.begun, self.may_read = 0, threading.Event(), threading.Event()

    def counts(self, *arguments, **options):
        self.n_calls += 1
        self.begun.set()
        assert self.may_read.wait(30)
        return super().counts(*arguments, **options)


def test_a_list_is_made_once_for_all_who_wait_while_the_event_loop_goes_on(write, trend, history_folder):
    write(*(event(offset, "new", user=f"u{offset}") for offset in range(1, 10)))
    new_ids = NewIds(2)
    live = TrendingList(trend, Names(), new_ids=new_ids, dataset_group_arn=GROUP, event_type=None, now=lambda: NOW)

    async def ask_at_once(reader):
        impatient, *others = [asyncio.create_task(live.current(reader)) for _ in range(3)]
        await asyncio.to_thread(reader.begun.wait, 30)
        impatient.cancel()
        reader.may_read.set()  # reached only if the question does not hold the loop
        return await asyncio.gather(*others)

    with closing(HeldReader(history_folder)) as reader:
        trends = asyncio.run(ask_at_once(reader))
        assert reader.n_calls == 1

    assert [ids(made, new_ids) for made in trends] == [["new", "a", "b"]] * 2


def test_what_rose_an_interval_ago_falls(write, listed):
    write(*(event(offset, "old", user=f"u{offset}", ago=2.5 * 3600) for offset in range(1, 10)))
    write(event(11, "b"))

    assert listed() == ["a", "b", "old"]


def test_a_campaign_without_recent_events_shows_popular_items(store, tmp_path, history_folder):
    fitted = fit("aws-trending-now")
    publish(store, "artifacts/trending", fitted)
    model = ModelLoader(store, cache=tmp_path / "cache", index="auto").load("artifacts/trending")
    deployment = Deployment.make(assignment(), model, cache_users=0)
    users = np.zeros(model.scorer.item_vectors.shape[0], int)
    np.add.at(users, fitted.data.interactions.item, 1)

    with closing(LmdbHistoryReader(history_folder)) as reader:
        question = RecommendationRequest(5)
        scored = asyncio.run(Recommender(reader).recommend(deployment, question, recommendation_id="RID-1"))

    assert scored.item_ids == [item(index) for index in scored.items]
    assert users[scored.items].tolist() == sorted(users.tolist(), reverse=True)[:5]
