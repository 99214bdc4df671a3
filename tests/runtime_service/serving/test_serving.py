"""Deployments follow the assignments: loaded whole, then swapped; one that fails is reported and changes nothing."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Event

import numpy as np
import pytest

from common.artifacts import MANIFEST
from common.errors import CorruptArtifact, ResourceNotFound
from common.positions import LEGACY_EPOCH, Epoch, Lineage
from common.rpc import aio_channel
from common.testing import loop_in_thread, wait_until
from inference.model import ModelLoader
from inference.recent_events import EventRule, RecentEvent
from protos.tailorbird.internal.v1 import serving_pb2_grpc
from recipes.data.histories import History
from recipes.ports import ScoreDelta
from runtime_service.history.records import StoredHistory, encode
from runtime_service.serving.deployments import Deployment, DeploymentTable, Query, QueryCache
from runtime_service.serving.kept import AssignmentFile
from runtime_service.serving.loads import Loads
from runtime_service.serving.watcher import ServingWatcher
from tests.runtime_service.backends import FAILED, READY, running_backends
from tests.runtime_service.world import N_ITEMS, WATCH, WATERMARK, assignment, campaign, item, publish, user


def loader(store, folder):
    return ModelLoader(store, cache=folder / "cache", index="auto")


@pytest.fixture
def backends():
    with running_backends() as made:
        yield made


@pytest.fixture
def watching(backends, tmp_path):
    """Run a watcher, and give the table that it keeps."""

    @contextmanager
    def run(opener, *, load_seconds=60.0):
        table = DeploymentTable()

        async def watch():
            async with aio_channel(backends.server.target, token=backends.keys.token("runtime")) as channel:
                watcher = ServingWatcher(
                    serving_pb2_grpc.ServingServiceStub(channel),
                    Loads(opener, limit_seconds=load_seconds, cache_users=10),
                    table=table,
                    kept=AssignmentFile(tmp_path / "kept" / "assignments.json"),
                    runtime_id="tests-1-0",
                    wait_seconds=5.0,
                )
                await watcher.run()

        with loop_in_thread() as loop, loop.running(watch()):
            yield table

    return run


class Gate:
    """A loader that opens nothing before it is let."""

    def __init__(self, opener, event) -> None:
        self._opener = opener
        self._event = event

    def load(self, location):
        self._event.wait(20)
        return self._opener.load(location)

    def forget_others(self, locations):
        self._opener.forget_others(locations)


def test_nothing_assigned_is_known_at_once(backends, watching, store, tmp_path):
    with watching(loader(store, tmp_path)) as table:
        wait_until(table.known.is_set)

        assert table.find(campaign()) is None


def test_assigned_campaign_is_loaded_and_reported(backends, watching, shelf, tmp_path):
    backends.board.assign(assignment(location="artifacts/personal"))
    with watching(loader(shelf, tmp_path)) as table:
        state = wait_until(lambda: (found := backends.board.state("d-1")) and found.phase == READY and found)

        assert state.serving_arn == campaign()
        assert table.known.is_set()
        assert table.find(campaign()).assignment.deployment_id == "d-1"


def test_old_deployment_answers_until_the_new_one_is_loaded(backends, watching, shelf, tmp_path):
    let = Event()
    let.set()
    backends.board.assign(assignment(deployment="d-1", location="artifacts/personal"))
    with watching(Gate(loader(shelf, tmp_path), let)) as table:
        wait_until(lambda: table.find(campaign()))
        let.clear()
        backends.board.assign(assignment(deployment="d-2", location="artifacts/popular"))
        loading = wait_until(lambda: backends.board.state("d-2"))
        during = table.find(campaign())
        let.set()
        wait_until(lambda: (found := backends.board.state("d-2")) and found.phase == READY)

        assert loading.phase not in (READY, FAILED)
        assert during.assignment.deployment_id == "d-1"
        assert table.find(campaign()).assignment.deployment_id == "d-2"
        # Whoever began with the old one ends with it.
        assert len(during.recommend(user(0), None, limit=5).items) == 5


def test_dropped_campaign_is_no_longer_served(backends, watching, shelf, tmp_path):
    backends.board.assign(assignment(location="artifacts/popular"))
    with watching(loader(shelf, tmp_path)) as table:
        wait_until(lambda: table.find(campaign()))

        backends.board.assign()

        wait_until(lambda: table.find(campaign()) is None)


def test_event_type_of_a_running_deployment_can_change(backends, watching, shelf, tmp_path):
    backends.board.assign(assignment(location="artifacts/personal"))
    with watching(loader(shelf, tmp_path)) as table:
        model = wait_until(lambda: table.find(campaign())).model

        backends.board.assign(assignment(location="artifacts/personal", event_type="watch"))

        wait_until(lambda: table.find(campaign()).assignment.event_type == "watch")
        assert table.find(campaign()).model is model


def test_rules_of_events_come_with_the_assignment(backends, watching, shelf, tmp_path):
    rules = (EventRule("buy", 0.0), EventRule(None, 2.5), EventRule("watch", None))
    backends.board.assign(assignment(location="artifacts/personal", event_rules=rules))
    with watching(loader(shelf, tmp_path)) as table:
        assert wait_until(lambda: table.find(campaign())).assignment.event_rules == rules


def test_artifact_that_is_served_already_is_not_loaded_twice(backends, watching, shelf, tmp_path):
    backends.board.assign(assignment("a", location="artifacts/popular"), assignment("b", location="artifacts/popular"))
    with watching(loader(shelf, tmp_path)) as table:
        wait_until(lambda: table.find(campaign("a")) and table.find(campaign("b")))

        assert table.find(campaign("a")).model is table.find(campaign("b")).model


def test_corrupt_artifact_fails_with_its_reason_and_the_old_one_goes_on(backends, watching, store, tmp_path, popular):
    publish(store, "artifacts/good", popular)
    publish(store, "artifacts/bad", popular)
    (vectors,) = store.local_folder("artifacts/bad").rglob("item_vectors.npy")
    changed = bytearray(vectors.read_bytes())
    changed[-1] ^= 1
    vectors.write_bytes(changed)
    backends.board.assign(assignment(deployment="d-1", location="artifacts/good"))
    with watching(loader(store, tmp_path)) as table:
        wait_until(lambda: table.find(campaign()))

        backends.board.assign(assignment(deployment="d-2", location="artifacts/bad"))
        state = wait_until(lambda: (found := backends.board.state("d-2")) and found.phase == FAILED and found)

        assert "artifacts/bad: `item_vectors.npy`: got sha256" in state.failure_reason
        assert table.find(campaign()).assignment.deployment_id == "d-1"
        assert table.known.is_set()


def test_failed_campaign_does_not_keep_the_worker_from_being_ready(backends, watching, shelf, tmp_path):
    backends.board.assign(
        assignment("good", location="artifacts/popular"), assignment("bad", location="artifacts/none")
    )
    with watching(loader(shelf, tmp_path)) as table:
        wait_until(table.known.is_set)

        assert table.find(campaign("good")) is not None
        assert table.find(campaign("bad")) is None


def test_watcher_goes_on_when_the_control_plane_comes_back(backends, watching, shelf, tmp_path):
    backends.board.assign(assignment("one", location="artifacts/popular"))
    with watching(loader(shelf, tmp_path)) as table:
        wait_until(lambda: table.find(campaign("one")))

        backends.board.refuse(3)
        backends.board.assign(assignment("two", location="artifacts/popular"))

        wait_until(lambda: table.find(campaign("two")))


def test_control_plane_that_comes_back_is_told_again_what_is_served(backends, watching, shelf, tmp_path):
    backends.board.assign(assignment(location="artifacts/popular"))
    with watching(loader(shelf, tmp_path)) as table:
        wait_until(lambda: table.find(campaign()) and backends.board.state("d-1"))

        backends.board.refuse(2)
        backends.board.reports.clear()  # it forgets workers that were silent for long

        assert wait_until(lambda: backends.board.state("d-1")).phase == READY


def test_artifact_without_manifest_is_not_found(store, tmp_path, popular):
    publish(store, "artifacts/cut-off", popular)
    (store.local_folder("artifacts/cut-off") / MANIFEST).unlink()

    with pytest.raises(ResourceNotFound, match="where nothing is published"):
        loader(store, tmp_path).load("artifacts/cut-off")


def test_missing_file_is_a_corrupt_artifact(store, tmp_path, popular):
    publish(store, "artifacts/one", popular)
    (vectors,) = store.local_folder("artifacts/one").rglob("user_vectors.npy")
    vectors.unlink()

    with pytest.raises(CorruptArtifact, match=r"`user_vectors\.npy` is missing"):
        loader(store, tmp_path).load("artifacts/one")


@pytest.mark.parametrize(
    ("changed", "file"),
    [
        ({"n_items": 41}, r"`items\.\*\.npy`"),
        ({"n_users": 59}, r"`users\.\*\.npy`"),
        ({"dimensions": 3}, "`item_vectors"),
    ],
)
def test_files_that_do_not_belong_together_are_a_corrupt_artifact(store, tmp_path, popular, changed, file):
    publish(store, "artifacts/one", popular, **changed)

    with pytest.raises(CorruptArtifact, match=file):
        loader(store, tmp_path).load("artifacts/one")


@pytest.mark.parametrize("name", ["history_items", "history_actions", "history_times"])
def test_histories_of_another_length_are_a_corrupt_artifact(store, tmp_path, popular, name):
    publish(store, "artifacts/one", popular, shortened=name)

    with pytest.raises(CorruptArtifact, match=rf"`{name}\.npy`: got 479, want 480"):
        loader(store, tmp_path).load("artifacts/one")


def test_event_types_that_the_manifest_does_not_name_are_a_corrupt_artifact(store, tmp_path, popular):
    publish(store, "artifacts/one", popular, event_types=["watch"])

    with pytest.raises(CorruptArtifact, match=r"`history_actions\.npy`: got types out of range, want 0 to 1"):
        loader(store, tmp_path).load("artifacts/one")


def test_unknown_recipe_is_refused(store, tmp_path, popular):
    publish(store, "artifacts/one", popular, recipe="aws-miracle")

    with pytest.raises(ResourceNotFound, match="`recipe`: got 'aws-miracle'"):
        loader(store, tmp_path).load("artifacts/one")


@pytest.mark.parametrize("mode", ["exact", "annoy"])
def test_either_index_serves_an_artifact(shelf, tmp_path, mode):
    model = ModelLoader(shelf, cache=tmp_path, index=mode).load("artifacts/personal")
    deployment = Deployment.make(assignment(), model, cache_users=10)

    assert len(deployment.recommend(user(3), None, limit=10).items) == 10


@pytest.fixture(scope="module")
def model(shelf, tmp_path_factory):
    return ModelLoader(shelf, cache=tmp_path_factory.mktemp("cache"), index="exact").load("artifacts/personal")


@pytest.fixture
def deployment(model):
    return Deployment.make(assignment(event_type="watch"), model, cache_users=2)


def recent(*events, lineage=None, millis=None):
    """Make a stored history of (offset, event type, item)."""
    return StoredHistory(
        encode([RecentEvent(offset, millis or 1000 * offset, kind, item(at), offset) for offset, kind, at in events]),
        lineage or Lineage.legacy(),
    )


def best(deployment, user_id, history, limit=10):
    return deployment.recommend(user_id, history, limit=limit).items.tolist()


def test_users_get_what_fits_their_taste(deployment):
    lower, upper = best(deployment, user(0), None), best(deployment, user(1), None)

    assert all(found < N_ITEMS // 2 for found in lower[:3])
    assert all(found >= N_ITEMS // 2 for found in upper[:3])


def test_new_events_change_what_a_user_gets(deployment):
    before = best(deployment, user(0), None)

    after = best(
        deployment, user(0), recent((WATERMARK + 1, "watch", N_ITEMS - 3), (WATERMARK + 2, "watch", N_ITEMS - 2))
    )

    assert after != before


def test_unknown_user_gets_what_newcomers_get_until_an_event_comes(deployment):
    newcomer = best(deployment, "", None)

    assert best(deployment, "nobody-knows", None) == newcomer
    assert best(deployment, "nobody-knows", recent((WATERMARK + 1, "watch", 3))) != newcomer


def test_events_within_the_artifact_change_nothing(deployment):
    assert best(deployment, user(0), recent((WATERMARK, "watch", N_ITEMS - 1))) == best(deployment, user(0), None)


def test_events_of_another_type_change_nothing(deployment):
    assert best(deployment, user(0), recent((WATERMARK + 1, "click", N_ITEMS - 1))) == best(deployment, user(0), None)


def test_type_of_an_event_changes_what_a_user_gets(model):
    unrestricted = Deployment.make(assignment(), model, cache_users=0)

    def asked(kind):
        return unrestricted.recommend(user(4), recent((WATERMARK + 1, kind, 30)), limit=N_ITEMS)

    watched, bought, unknown, unheard_of = asked("watch"), asked("buy"), asked("glance"), asked("stare")
    assert watched.items.tolist() != bought.items.tolist()
    assert watched.items.tolist() != unknown.items.tolist()
    # Types that the model was not trained on are all one.
    assert unknown.items.tolist() == unheard_of.items.tolist()
    assert unknown.scores.tolist() == unheard_of.scores.tolist()


def test_users_of_the_snapshot_are_scored_with_their_adjustment(deployment, model):
    found = deployment.recommend(user(4), None, limit=10)

    change = model.scorer.score_deltas(model.histories.of(4))
    scores = model.scorer.item_vectors @ model.user_vectors[4]
    scores[change.items] += change.values
    assert found.items.tolist() == np.argsort(-scores, kind="stable")[:10].tolist()


def test_answers_from_kept_queries_are_the_same(deployment):
    history = recent((WATERMARK + 1, "watch", 30))

    first, second = (deployment.recommend(user(4), history, limit=10) for _ in range(2))

    assert list(deployment.cache._entries) == [user(4)]
    assert (first.items.tolist(), first.scores.tolist()) == (second.items.tolist(), second.scores.tolist())


def test_events_of_a_log_that_was_replaced_count_whatever_their_offsets(deployment):
    other = Lineage([Epoch(99, 1)])

    found = best(deployment, user(4), recent((3, "watch", 30), lineage=other, millis=9000))

    assert found == best(deployment, user(4), recent((WATERMARK + 3, "watch", 30), millis=9000))
    assert found != best(deployment, user(4), recent((3, "watch", 30), millis=9000))


def test_events_behind_the_backup_of_a_restored_log_count_and_those_before_do_not(deployment):
    restored = Lineage([Epoch(LEGACY_EPOCH, 1), Epoch(77, 6)])

    found = best(deployment, user(4), recent((5, "watch", 31), (6, "watch", 30), lineage=restored, millis=9000))

    assert found == best(deployment, user(4), recent((WATERMARK + 6, "watch", 30), millis=9000))


def test_kept_query_is_not_taken_for_the_same_offset_of_another_log(deployment):
    first = best(deployment, user(4), recent((WATERMARK + 1, "watch", 30)))

    second = best(deployment, user(4), recent((WATERMARK + 1, "watch", 5), lineage=Lineage([Epoch(99, 1)])))

    assert second != first


def test_history_that_goes_on_keeps_the_newest_steps(model):
    longest = model.recipe.max_history
    newer = History.of_items(np.arange(longest - 2) % N_ITEMS)

    whole = model.continued_history(3, newer)

    known = model.histories.of(3)
    assert len(whole) == longest
    assert whole.items[:2].tolist() == known.items[-2:].tolist()
    assert whole.event_types[:3].tolist() == [*known.event_types[-2:].tolist(), 0]
    assert whole.times[:3].tolist() == [*known.times[-2:].tolist(), 0]


def test_history_that_goes_on_is_scored_as_the_recipe_scores_it(deployment, model):
    found = deployment.recommend(user(4), recent((WATERMARK + 1, "watch", 30)), limit=10)

    known = model.histories.of(4)
    history = History(
        np.append(known.items, np.int32(30)),
        np.append(known.event_types, np.uint8(WATCH)),
        np.append(known.times, WATERMARK + 1),
    )
    change = model.scorer.score_deltas(history)
    scores = model.scorer.item_vectors @ model.scorer.embed_history(history)
    scores[change.items] += change.values
    assert found.items.tolist() == np.argsort(-scores, kind="stable")[:10].tolist()


def test_queries_are_made_anew_when_another_type_of_event_counts(deployment):
    history = recent((WATERMARK + 1, "watch", 30), (WATERMARK + 2, "buy", 5))
    before = deployment.recommend(user(4), history, limit=N_ITEMS)

    reassigned = deployment.reassigned(assignment(event_type="buy"))

    fresh = Deployment.make(assignment(event_type="buy"), deployment.model, cache_users=2)
    found, wanted = (made.recommend(user(4), history, limit=N_ITEMS) for made in (reassigned, fresh))
    assert (found.items.tolist(), found.scores.tolist()) == (wanted.items.tolist(), wanted.scores.tolist())
    assert found.scores.tolist() != before.scores.tolist()
    assert reassigned.cache.size == deployment.cache.size


def test_events_that_no_rule_takes_change_nothing(deployment):
    ruled = deployment.reassigned(assignment(event_rules=(EventRule("watch", 3.0),)))
    low, high = (
        StoredHistory(encode([RecentEvent(WATERMARK + place, 1, "watch", item(N_ITEMS - 2), place, value)]))
        for place, value in ((1, 2.5), (2, 3.0))
    )

    assert best(ruled, user(0), low) == best(ruled, user(0), None)
    assert best(ruled, user(0), high) != best(ruled, user(0), None)


def test_queries_are_kept_when_nothing_changes(deployment):
    assert deployment.reassigned(assignment(event_type="watch")) is deployment


def test_given_items_are_ranked_as_they_are_among_all(deployment):
    whole = deployment.recommend(user(4), None, limit=N_ITEMS)
    given = np.array([39, 3, 12, 0, 25], np.int32)

    found = deployment.rank(user(4), None, items=given)

    among = np.isin(whole.items, given)
    assert found.items.tolist() == whole.items[among].tolist()
    np.testing.assert_allclose(found.scores, whole.scores[among] / whole.scores[among].sum(), rtol=1e-4)


def test_new_events_change_a_ranking(deployment):
    given = np.arange(N_ITEMS, dtype=np.int32)

    before, after = (
        deployment.rank(user(0), history, items=given)
        for history in (None, recent((WATERMARK + 1, "watch", N_ITEMS - 3), (WATERMARK + 2, "watch", N_ITEMS - 2)))
    )

    assert before.items.tolist() != after.items.tolist()


@pytest.fixture(scope="module", params=["exact", "annoy"])
def relating(shelf, request, tmp_path_factory):
    opener = ModelLoader(shelf, cache=tmp_path_factory.mktemp("cache"), index=request.param)
    return Deployment.make(assignment(), opener.load("artifacts/related"), cache_users=0)


@pytest.mark.parametrize("limit", [1, 10, N_ITEMS - 1, N_ITEMS])
def test_related_items_are_as_many_as_wanted_and_never_the_item_itself(relating, limit):
    for asked in (0, 7, N_ITEMS - 1):
        found = relating.relate(item(asked), limit=limit).items.tolist()

        assert len(found) == len(set(found)) == min(limit, N_ITEMS - 1)
        assert asked not in found


def test_related_items_are_of_the_taste_of_the_item(relating):
    lower, upper = (relating.relate(item(asked), limit=5).items.tolist() for asked in (3, N_ITEMS - 3))

    assert all(found < N_ITEMS // 2 for found in lower)
    assert all(found >= N_ITEMS // 2 for found in upper)


def test_item_that_is_first_for_everybody_is_not_related_to_itself(shelf, tmp_path):
    # Popularity does not lower what it is asked about.
    popular = ModelLoader(shelf, cache=tmp_path, index="exact").load("artifacts/popular")
    popularity = Deployment.make(assignment(), popular, cache_users=0)
    whole = popularity.recommend("", None, limit=N_ITEMS).items.tolist()

    found = popularity.relate(item(whole[0]), limit=N_ITEMS).items.tolist()

    assert found == whole[1:]


def test_unknown_item_gets_popular_items(relating):
    newcomer = relating.recommend("", None, limit=10)

    assert relating.relate("nobody-made-this", limit=10).items.tolist() == newcomer.items.tolist()


QUERY = Query(np.ones(2, np.float32), ScoreDelta.nothing())


def test_vector_is_kept_until_the_user_has_a_newer_event():
    cache = QueryCache(2)

    cache.put("a", 5, QUERY)

    assert cache.get("a", 5) is QUERY
    assert cache.get("a", 6) is None


def test_vectors_of_the_longest_inactive_users_go_first():
    cache = QueryCache(2)
    cache.put("a", 1, QUERY)
    cache.put("b", 1, QUERY)
    cache.get("a", 1)

    cache.put("c", 1, QUERY)

    assert (cache.get("a", 1) is None, cache.get("b", 1) is None) == (False, True)


def test_cache_of_no_users_keeps_nothing():
    cache = QueryCache(0)

    cache.put("a", 1, QUERY)

    assert cache.get("a", 1) is None
