"""The figures of metric attributions, as Prometheus reads them."""

from __future__ import annotations

from events_service.attribution.figures import AttributionFigures
from events_service.trackers import AttributedMetric
from tests.events_service.attribution.conftest import VIEWS
from tests.events_service.samples import GROUP, entry, event


def test_figures_are_what_was_counted(world, log):
    world.follow(VIEWS, AttributedMetric("worth", "watch", "SUM(Interactions.EVENT_VALUE)"))
    log.append([entry(event(n, event_value=2.5, attribution_source="web")) for n in (1, 2)], seconds=5)
    world.count()

    readings = list(AttributionFigures(world.state).read())
    assert {(one.figure.name, one.value) for one in readings} == {
        ("tailorbird_attributed_samples_total", 2.0),
        ("tailorbird_attributed_sum", 5.0),
    }
    assert all(one.labels[0] == GROUP and one.labels[3] == "web" for one in readings)
