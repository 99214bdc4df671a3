"""The figures of metric attributions, as Prometheus reads them."""

from __future__ import annotations

import httpx
import pytest

from common.errors import InvalidInput
from common.telemetry import serve_figures
from events_service.attribution.figures import AttributionFigures
from events_service.trackers import AttributedMetric
from tests.events_service.attribution.conftest import VIEWS
from tests.events_service.samples import GROUP, entry, event


def test_figures_are_what_was_counted(world, log):
    world.follow(VIEWS, AttributedMetric("worth", "watch", "SUM(Interactions.EVENT_VALUE)"))
    log.append([entry(event(n, event_value=2.5, attribution_source="web")) for n in (1, 2)], seconds=5)
    world.count()

    with serve_figures("127.0.0.1:0", [AttributionFigures(world.state)]) as port:
        lines = httpx.get(f"http://127.0.0.1:{port}/metrics").text.splitlines()

    series = {line for line in lines if not line.startswith("#")}
    assert len(series) == 2
    assert {line.split("{")[0]: line.split()[-1] for line in series} == {
        "tailorbird_attributed_samples_total": "2.0",
        "tailorbird_attributed_sum": "5.0",
    }
    assert all('event_attribution_source="web"' in line and GROUP in line for line in series)


def test_without_an_address_nothing_is_served():
    with serve_figures(None, []) as port:
        assert port is None


@pytest.mark.parametrize("address", ["9100", ":9100", "localhost:http"])
def test_malformed_addresses_are_refused(address):
    with pytest.raises(InvalidInput, match="`metrics_listen`: got"), serve_figures(address, []):
        pass
