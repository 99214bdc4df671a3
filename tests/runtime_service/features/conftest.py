"""A runtime with features: a server, a store of its own process, and campaigns of models that are shared."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import grpc
import numpy as np
import pytest

from common.process.heartbeat import Heartbeat
from common.recommendation_ids import RecommendationIds
from common.rpc import from_rpc_error
from common.testing import serving, wait_until
from inference.model import Model, ModelLoader
from inference.new_items import NewItemList
from protos.tailorbird.runtime.v1 import runtime_service_pb2 as messages
from protos.tailorbird.runtime.v1.explanation_service_pb2 import ExplainRecommendationsRequest
from protos.tailorbird.runtime.v1.explanation_service_pb2_grpc import ExplanationServiceStub
from protos.tailorbird.runtime.v1.runtime_service_pb2_grpc import RuntimeServiceStub
from recipes.catalog import RECIPES
from runtime_service.features.event_offsets import EventOffsets
from runtime_service.features.opener import SnapshotOpener
from runtime_service.features.updater import FeatureUpdater
from runtime_service.history import HistoryEvent, Put
from runtime_service.history.impression_log import ImpressionLog
from runtime_service.history.lmdb import LmdbHistoryWriter, prepare_history
from runtime_service.server import runtime_service
from runtime_service.servicers.explanations import ExplanationServicer, explanation_service
from runtime_service.servicers.recommendations import RuntimeServicer
from runtime_service.servicers.requests import RequestReader
from runtime_service.serving.deployments import Deployment, DeploymentTable
from runtime_service.serving.recommender import Recommender
from tests.runtime_service.features.running import SharedReader
from tests.runtime_service.servicers.wire import KEYS, as_role
from tests.runtime_service.world import WATERMARK, assignment, campaign, local_store


@dataclass(repr=False)
class Running:
    """A runtime, and what feeds it."""

    writer: LmdbHistoryWriter
    store: Any
    deployments: DeploymentTable
    follower: FeatureUpdater
    models: dict[str, Model]
    server: Any
    stub: RuntimeServiceStub
    channel: grpc.Channel
    held: list = field(default_factory=list)
    numbers: Any = field(default_factory=lambda: count(1))
    new_items: dict[tuple[int, str], NewItemList] = field(default_factory=dict)

    def _repr_pretty_(self, printer, cycle):
        printer.text("runtime")  # Hypothesis would show all fields, and complain of their length

    def serve(self, model: str, group: str, *, recipe: str = "", **members) -> str:
        """Let a campaign of its own serve a model, as that of a recipe if one is named, and return its name."""
        name = f"c{next(self.numbers)}"
        made = replace(assignment(name), dataset_group_arn=group, **members)
        loaded = self.model(model, group)
        served = replace(loaded, recipe=RECIPES[recipe]) if recipe else loaded
        self._on_loop(lambda: self.deployments.serve(Deployment.make(made, served, cache_users=10)))
        return name

    def model(self, name: str, group: str) -> Model:
        """Return a model as if it had been trained in a group: items that come after it are its group's."""
        loaded = self.models[name]
        new_items = self.new_items.setdefault((id(loaded.items), group), NewItemList.behind(len(loaded.items)))
        return replace(loaded, new_items=new_items)

    def assign(self, *groups) -> None:
        """Follow these groups alone, and wait until they are prepared."""

        async def run():
            self.follower.assign(groups)
            for group in groups:
                await self.follower.prepared(group.dataset_group_arn)

        self.server.loop.run(run())

    def put(self, group: str, kind: str, entity_id: str, properties: str | None) -> int:
        """Store a put as the tail does, and return its offset."""
        offset = self.writer.next_offset()
        self.writer.append([], puts=[Put(offset, group, kind, entity_id, properties)], next_offset=offset + 1)
        return offset

    def send(
        self, group: str, user_id: str, item_id: str, event_type: str, dataset_type="INTERACTIONS", *, seconds=0
    ) -> None:
        """Store an event as the tail does; it happens at its place in the log unless it says when."""
        offset = self.writer.next_offset()
        millis = 1000 * seconds or offset
        event = HistoryEvent(offset, group, "", user_id, item_id, event_type, "", millis, dataset_type=dataset_type)
        self.writer.append([event], next_offset=offset + 1)

    def wait_for_puts(self, group: str, kind: str, offset: int) -> None:
        """Wait until requests see what was put up to an offset."""
        wait_until(lambda: self.follower.find(group).features[kind].offset >= offset, every=0.005)

    def recommend(self, name: str, **members):
        return self.stub.GetRecommendations(
            messages.GetRecommendationsRequest(campaign_arn=campaign(name), **members),
            metadata=as_role("client"),
            timeout=60,
        )

    def rank(self, name: str, items, **members):
        return self.stub.GetPersonalizedRanking(
            messages.GetPersonalizedRankingRequest(campaign_arn=campaign(name), input_list=items, **members),
            metadata=as_role("client"),
            timeout=60,
        )

    def act(self, name: str, **members):
        return self.stub.GetActionRecommendations(
            messages.GetActionRecommendationsRequest(campaign_arn=campaign(name), **members),
            metadata=as_role("client"),
            timeout=60,
        )

    def explain(self, name: str, **members):
        """Explain the answer to a request."""
        return ExplanationServiceStub(self.channel).ExplainRecommendations(
            ExplainRecommendationsRequest(campaign_arn=campaign(name), **members),
            metadata=as_role("client"),
            timeout=60,
        )

    def refused(self, call, *arguments, **members):
        with pytest.raises(grpc.RpcError) as caught:
            call(*arguments, **members)
        return from_rpc_error(caught.value)

    def _on_loop(self, work) -> None:
        async def run():
            work()

        self.server.loop.run(run())


@pytest.fixture(scope="module")
def runtime(shelf, tmp_path_factory):
    """Give a runtime that follows features; each test has groups of its own."""
    folder = tmp_path_factory.mktemp("runtime")
    prepare_history(folder / "history", map_bytes=1 << 22)
    writer = LmdbHistoryWriter(folder / "history", max_events=50)
    writer.skip(WATERMARK + 1)
    store, table, held = local_store(folder / "store"), DeploymentTable(), []
    impressions = ImpressionLog(folder / "impressions", "reader")
    reader = SharedReader(writer, impressions)
    opener = SnapshotOpener(store, cache=folder / "features")
    follower = FeatureUpdater(reader, opener, deployments=table, note_held=held.append)
    loader = ModelLoader(shelf, cache=folder / "cache", index="exact")
    models = {
        name: loader.load(f"artifacts/{name}") for name in ("personal", "popular", "ranking", "related", "actions")
    }
    actions = models["actions"]
    rules = replace(actions.scorer.actions, repeat_days=np.full(3, 30))
    models["repeating-actions"] = replace(actions, scorer=replace(actions.scorer, actions=rules))
    ids, beat = RecommendationIds(None), Heartbeat(silent_seconds=10).beat
    servicer = RuntimeServicer(table, reader, features=follower, ids=ids, beat=beat)
    explanations = ExplanationServicer(
        RequestReader(table, reader, features=follower),
        Recommender(reader),
        offsets=EventOffsets(reader, follower),
        recorded_answers=folder / "recent-answers",
        beat=beat,
    )
    services = [runtime_service(servicer), explanation_service(explanations)]

    async def begin():
        return asyncio.get_running_loop().create_task(follower.run())

    async def end(task):
        task.cancel()
        return await asyncio.gather(task, return_exceptions=True)

    with serving(services, keys=KEYS) as server, grpc.insecure_channel(server.target) as channel:
        task = server.loop.run(begin())
        yield Running(writer, store, table, follower, models, server, RuntimeServiceStub(channel), channel, held)
        (failure,) = server.loop.run(end(task))
        assert isinstance(failure, asyncio.CancelledError)
    impressions.close()
    writer.close()


@pytest.fixture
def group(request):
    """Give the ARN of a group that no other test has."""
    return f"arn:aws:personalize:us-east-1:000000000000:dataset-group/{request.node.name[:40]}"
