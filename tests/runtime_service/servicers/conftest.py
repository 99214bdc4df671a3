"""A runtime with one campaign of each kind on a real asynchronous server, by pytest-grpc's fixtures in real mode."""

from __future__ import annotations

from dataclasses import replace

import grpc
import numpy as np
import pytest

from common.process.heartbeat import Heartbeat
from common.recommendation_ids import RecommendationIds
from common.rpc import from_rpc_error
from common.testing import serving
from inference.model import ModelLoader
from protos.tailorbird.runtime.v1 import runtime_service_pb2 as messages
from protos.tailorbird.runtime.v1.runtime_service_pb2_grpc import RuntimeServiceStub
from recipes.catalog import RECIPES
from recipes.components.context import ContextCodes, ContextTable
from recipes.components.item_age import ItemAges
from runtime_service.features.event_offsets import EventOffsets
from runtime_service.history import HistoryEvent
from runtime_service.history.lmdb import LmdbHistoryReader, LmdbHistoryWriter, prepare_history
from runtime_service.recorded_answers.ring import AnswerRing
from runtime_service.server import runtime_service
from runtime_service.servicers.explanations import ExplanationServicer, explanation_service
from runtime_service.servicers.recommendations import RuntimeServicer
from runtime_service.servicers.requests import RequestReader
from runtime_service.serving.deployments import Deployment, DeploymentTable
from runtime_service.serving.recommender import Recommender
from tests.runtime_service.features.running import idle_follower
from tests.runtime_service.servicers.wire import KEYS, TV_ITEM, as_role
from tests.runtime_service.world import GROUP, N_ITEMS, WATERMARK, assignment, campaign, item, recommender, user

#: Recommenders by the names of their use cases, and the campaigns whose models they have.
RECOMMENDERS = {
    "aws-ecomm-popular-items-by-views": "hits",
    "aws-ecomm-frequently-bought-together": "alike",
    "aws-ecomm-customers-who-viewed-x-also-viewed": "alike",
    "aws-ecomm-recommended-for-you": "films",
}


@pytest.fixture(scope="module")
def history_files(tmp_path_factory):
    return tmp_path_factory.mktemp("histories")


@pytest.fixture(scope="module")
def histories(history_files):
    """Give the histories in which a known user, a new one and a session have just done something."""
    folder = history_files
    prepare_history(folder, map_bytes=1 << 20)
    writer = LmdbHistoryWriter(folder, max_events=10)
    who = [(user(7), "", "watch"), ("new-user", "", "watch"), ("", "session-1", "watch"), ("buyer", "", "buy")]
    writer.append(
        [
            HistoryEvent(WATERMARK + place, GROUP, session, name, item(N_ITEMS - 2), kind, "", place)
            for place, (name, session, kind) in enumerate(who, 1)
        ],
        next_offset=WATERMARK + 5,
    )
    writer.close()
    reader = LmdbHistoryReader(folder)
    yield reader
    reader.close()


@pytest.fixture(scope="module")
def heartbeat():
    return Heartbeat(silent_seconds=10)


@pytest.fixture(scope="module")
def table(shelf, tmp_path_factory):
    """Give what is served: one campaign of each kind, and recommenders."""
    loader, table = ModelLoader(shelf, cache=tmp_path_factory.mktemp("cache"), index="exact"), DeploymentTable()
    table.confirm()
    artifacts = {"films": "personal", "hits": "popular", "ranked": "ranking", "alike": "related", "acts": "actions"}
    for name, artifact in artifacts.items():
        made = assignment(name, location=f"artifacts/{artifact}")
        table.serve(Deployment.make(made, loader.load(made.artifact_location), cache_users=10))
    new = ItemAges(np.where(np.arange(N_ITEMS) < 3, 0, -(10**8)), np.zeros(N_ITEMS, np.int64), 0)
    explored = replace(table.find(campaign()).model, ages=new)
    deployment = Deployment.make(assignment("explored"), explored, cache_users=10)
    deployment.pipeline.explorer.share = 1.0
    table.serve(deployment)
    for name, like in RECOMMENDERS.items():
        model = replace(table.find(campaign(like)).model, recipe=RECIPES[name])
        made = replace(assignment(location="artifacts/" + artifacts[like]), campaign_arn=recommender(name))
        table.serve(Deployment.make(made, model, cache_users=10))
    serve_with_context(table, "films", "films-with-context")
    serve_with_context(table, "ranked", "ranked-with-context")
    return table


@pytest.fixture(scope="module")
def follower(histories, table):
    return idle_follower(histories, table)


@pytest.fixture(scope="module")
def ring(tmp_path_factory):
    made = AnswerRing(tmp_path_factory.mktemp("recent") / "answers", "worker-0", max_bytes=1 << 20)
    yield made
    made.close()


@pytest.fixture(scope="module")
def grpc_servicer(table, histories, heartbeat, follower, ring):
    ids = RecommendationIds(None)
    return RuntimeServicer(table, histories, features=follower, ids=ids, beat=heartbeat.beat, ring=ring)


@pytest.fixture(scope="module")
def explanations(table, histories, heartbeat, follower, ring):
    return ExplanationServicer(
        RequestReader(table, histories, features=follower),
        Recommender(histories),
        offsets=EventOffsets(histories, follower),
        recorded_answers=ring.folder,
        beat=heartbeat.beat,
    )


def serve_with_context(table, name, name_with_context):
    """Serve a campaign's model again under another name, with a context feature that makes one item for TVs."""
    model = table.find(campaign(name)).model
    vectors = np.zeros((2, model.scorer.item_vectors.shape[1] - 1), np.float32)
    # A direction in which this item scores more than all others, whatever was learnt.
    items = model.scorer.item_vectors[:, :-1]
    ahead = items[TV_ITEM] - np.delete(items, TV_ITEM, axis=0)
    vectors[1] = np.linalg.lstsq(ahead, np.ones(len(ahead)), rcond=None)[0]
    vectors[1] *= 20.0 / (ahead @ vectors[1]).min()
    assert (ahead @ vectors[1] > 10.0).all()
    meaning = ContextCodes(("DEVICE",), np.array([-1, 0], np.int32), ("", "tv"), np.full(2, np.nan))
    knowing = replace(
        model, scorer=model.scorer.with_tables(context=ContextTable(meaning, vectors), user_features=None)
    )
    table.serve(Deployment.make(assignment(name_with_context), knowing, cache_users=10))


@pytest.fixture(scope="module")
def grpc_server(grpc_servicer, explanations):
    """Run an asynchronous server in place of pytest-grpc's own, which is not."""

    with serving([runtime_service(grpc_servicer), explanation_service(explanations)], keys=KEYS) as running:
        yield running


@pytest.fixture(scope="module")
def grpc_addr(grpc_server):
    return grpc_server.target


@pytest.fixture(scope="module")
def grpc_stub_cls():
    return RuntimeServiceStub


@pytest.fixture
def recommend(grpc_stub):
    def call(name="films", *, role="client", **members):
        request = messages.GetRecommendationsRequest(campaign_arn=campaign(name) if name else None, **members)
        return grpc_stub.GetRecommendations(request, metadata=as_role(role), timeout=60)

    return call


@pytest.fixture
def refused(recommend):
    def call(*arguments, **members):
        with pytest.raises(grpc.RpcError) as caught:
            recommend(*arguments, **members)
        return from_rpc_error(caught.value)

    return call


@pytest.fixture
def rank(grpc_stub):
    def call(*items, name="ranked", role="client", **members):
        request = messages.GetPersonalizedRankingRequest(
            campaign_arn=campaign(name) if name else None, input_list=items, **members
        )
        return grpc_stub.GetPersonalizedRanking(request, metadata=as_role(role), timeout=60)

    return call


@pytest.fixture
def ranking_refused(rank):
    def call(*items, **members):
        with pytest.raises(grpc.RpcError) as caught:
            rank(*items, **members)
        return from_rpc_error(caught.value)

    return call
