"""The metadata store in each SQL database: restarts, several writers, errors."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from control_plane.metadata_store.sql import open_metadata_store
from control_plane.metadata_store.tables import DatasetGroup, Job
from control_plane.serving.revisions import current_revision, next_revision
from tests.control_plane.metadata_store.suite import add, group, group_arn, job, next_attempt


def test_contents_survive_a_restart(url):
    first = open_metadata_store(url)
    add(first, group(1))
    first.close()

    second = open_metadata_store(url)
    assert second.view(lambda unit: unit.count(DatasetGroup, limit=9)) == 1
    second.close()


def test_two_metadata_stores_on_one_database_lose_nothing(url):
    both = [open_metadata_store(url), open_metadata_store(url)]
    add(both[0], job(1))

    def count_up(metadata_store) -> None:
        for _ in range(20):
            metadata_store.transact(next_attempt)

    threads = [threading.Thread(target=count_up, args=[metadata_store]) for metadata_store in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert both[0].view(lambda unit: unit.get(Job, "job-1").attempt) == 40
    for metadata_store in both:
        metadata_store.close()


def test_checks_hold_for_what_several_processes_insert_at_once(url):
    """Of many who find a name free, a quota not used up and a revision, one each is right in all three."""
    stores = [open_metadata_store(url) for _ in range(3)]
    limit = 4

    def create(unit, number: int) -> int | None:
        if unit.get(DatasetGroup, group_arn(number)) is not None or unit.count(DatasetGroup, limit=limit) >= limit:
            return None
        unit.add(group(number))
        return next_revision(unit)

    with ThreadPoolExecutor(6) as threads:
        attempts = [(stores[place % 3], place // 3) for place in range(18)]
        made = list(threads.map(lambda item: item[0].transact(lambda unit: create(unit, item[1])), attempts))

    revisions = [revision for revision in made if revision is not None]
    assert sorted(revisions) == [2, 3, 4, 5]
    assert stores[0].view(lambda unit: unit.count(DatasetGroup, limit=limit + 1)) == limit
    assert stores[0].view(current_revision) == 5
    for metadata_store in stores:
        metadata_store.close()
