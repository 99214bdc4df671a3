"""A counter of a log in SQLite, its state and its reports, by clocks that are moved by hand."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from common.files.locations import ATTRIBUTION_OUTPUT
from common.files.outputs import Outputs
from common.master_keys import MasterKey, MasterKeys
from common.positions import START
from common.recommendation_ids import RecommendationIds
from common.settings import StoreSettings
from events_service.attribution.counter import MetricAttributionCounter
from events_service.attribution.reports import AttributionReports
from events_service.attribution.state import AttributionState
from events_service.consumers.rounds import ConsumerRounds
from events_service.log import LogTable
from events_service.trackers import AttributedMetric, Attribution
from tests.events_service.samples import GROUP, ITEMS_SCHEMA_TEXT, ListedTrackers

CAMPAIGN = "arn:aws:personalize:eu-west-1:000000000000:campaign/films"
ITEMS = LogTable("datasets/films/items", GROUP, ITEMS_SCHEMA_TEXT, "ITEMS")
VIEWS = AttributedMetric("views", "watch", "SAMPLECOUNT()")
ATTRIBUTION = Attribution(
    "arn:aws:personalize:eu-west-1:000000000000:metric-attribution/a",
    1,
    GROUP,
    (VIEWS,),
    "s3://bucket/reports/",
    (CAMPAIGN,),
    ITEMS,
)


@dataclass
class Counting:
    """What counts, made anew for each start of the process."""

    log: object
    store: object
    clock: object
    folder: object
    attributions: dict = field(default_factory=lambda: {GROUP: ATTRIBUTION})
    ids: RecommendationIds = field(default_factory=lambda: RecommendationIds(MasterKeys([MasterKey(b"k" * 32)])))
    state: AttributionState | None = None
    #: What the control plane has by now.
    tables: ListedTrackers = field(default_factory=ListedTrackers)

    def start(self, *, end=START):
        if self.state is not None:
            self.state.close()
        self.state = AttributionState(self.folder / "metric_attribution.db", end=end)
        self.counter = MetricAttributionCounter(
            self.log, self.store, self.state, attributions=lambda: self.attributions, tables=self.tables, ids=self.ids,
            clock=self.clock, every_seconds=15, monotonic=self.seconds,
        )  # fmt: skip
        self.rounds = ConsumerRounds(self.log, self.counter, monotonic=self.seconds)
        outputs = Outputs(StoreSettings(), buckets=self.folder, roots=[self.folder], field=ATTRIBUTION_OUTPUT)
        self.reports = AttributionReports(
            self.log, self.state, attributions=lambda: self.attributions, outputs=outputs, clock=self.clock,
            period_seconds=900, monotonic=self.seconds,
        )  # fmt: skip
        return self

    def seconds(self):
        return self.clock.now().timestamp()

    def follow(self, *metrics, **fields):
        self.attributions[GROUP] = replace(ATTRIBUTION, metrics=metrics or (VIEWS,), **fields)

    def count(self):
        self.clock.advance(seconds=15)
        return self.rounds.run()

    def totals(self):
        return {(item.metric, item.source): item.value for item in self.state.totals()}

    def files(self):
        paths = (self.folder / "bucket" / "reports").glob("*")
        return {path.name: path.read_text().splitlines() for path in paths}


@pytest.fixture
def world(log, store, clock, tmp_path):
    (tmp_path / "bucket").mkdir()
    made = Counting(log, store, clock, tmp_path).start()
    yield made
    made.state.close()
