"""Metric attributions: their metrics, pages and rules."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput, InvalidNextToken, LimitExceeded, ResourceInUse, ResourceNotFound
from control_plane.domain.quotas import Quotas
from control_plane.resources.base import PageRequest
from protos.tailorbird.control.v1.common_pb2 import S3DataConfig
from protos.tailorbird.control.v1.metric_attribution_pb2 import MetricAttribute, MetricAttributionOutput
from tests.control_plane.world import ACCOUNT, EVERYTHING, avro, column, make_world

OUTPUT = MetricAttributionOutput(role_arn=f"arn:aws:iam::{ACCOUNT}:role/Personalize")
PRICED = avro("Items", column("ITEM_ID"), column("MARGIN", ["null", "float"]), column("TITLE", ["null", "string"]))


def metric(name, expression="SAMPLECOUNT()", event_type="watch"):
    return MetricAttribute(metric_name=name, event_type=event_type, expression=expression)


def create(world, group, *metrics, name="shop", output=OUTPUT):
    return world.resources.metric_attributions.create(
        name, dataset_group_arn=group, metrics=metrics or [metric("views")], output=output
    )


def names(world, arn, request=EVERYTHING):
    return [item.metric_name for item in world.resources.metric_attributions.list_metrics(request, arn=arn)[0]]


@pytest.fixture
def group(world):
    made = world.group()
    world.dataset(made)
    world.dataset(made, "Items", PRICED)
    return made


def test_metrics_count_events_or_sum_numeric_columns_written_in_any_case(world, group):
    row = create(world, group, metric("views"), metric("margin", "sum(ITEMS.margin)"), metric("all", "samplecount()"))

    assert row.status == "ACTIVE"
    assert names(world, row.arn) == ["all", "margin", "views"]
    page = world.resources.metric_attributions.list(EVERYTHING, dataset_group_arn=group)
    assert [item.arn for item in page.items] == [row.arn]


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (metric("a", "COUNT()"), r"metrics\[0\]\.expression`: got 'COUNT\(\)', want SAMPLECOUNT\(\), SUM"),
        (metric("a", "SUM(Items.TITLE)"), "got 'TITLE', want one of the numeric columns of ITEMS: MARGIN"),
        (metric("a", "SUM(Users.AGE)"), "want SAMPLECOUNT"),
        (metric("a", "SUM(" * 100), "at most 256 characters"),
        (metric(""), r"metrics\[0\]\.metricName"),
        (metric("a", event_type=""), r"metrics\[0\]\.eventType"),
    ],
)
def test_malformed_metrics_are_refused_by_name(world, group, one, message):
    with pytest.raises(InvalidInput, match=message):
        create(world, group, one)
    assert world.resources.metric_attributions.list(EVERYTHING, dataset_group_arn=group).items == []


def test_there_are_one_to_ten_metrics_of_different_names(world, group):
    with pytest.raises(InvalidInput, match="got '11 metrics', want at most 10"):
        create(world, group, *(metric(f"m{number}") for number in range(11)))
    with pytest.raises(InvalidInput, match="want every name once"):
        create(world, group, metric("a"), metric("a"))
    with pytest.raises(InvalidInput, match="`metrics`: got 'none'"):
        world.resources.metric_attributions.create("shop", dataset_group_arn=group, metrics=[], output=OUTPUT)


def test_events_need_types(world):
    with pytest.raises(InvalidInput, match="an Interactions dataset that has the field EVENT_TYPE"):
        create(world, world.group())


def test_metrics_are_added_removed_and_paged_by_name(world, group):
    arn = create(world, group, metric("a"), metric("b")).arn
    operations = world.resources.metric_attributions

    place = MetricAttributionOutput(role_arn=OUTPUT.role_arn, s3_data_destination=S3DataConfig(path="s3://results/m/"))
    operations.update(arn, add=[metric("c"), metric("d")], remove_names=["a"], output=place)

    assert names(world, arn) == ["b", "c", "d"]
    assert operations.describe(arn).metrics_output_config == place
    first, token = operations.list_metrics(PageRequest(max_results=2), arn=arn)
    assert [item.metric_name for item in first] == ["b", "c"]
    operations.update(arn, add=[], remove_names=["c"], output=None)
    assert names(world, arn, PageRequest(next_token=token)) == ["d"]
    with pytest.raises(InvalidNextToken):
        operations.list_metrics(PageRequest(next_token="made-up"), arn=arn)
    with pytest.raises(InvalidInput, match="`removeMetrics`: got 'a', want some of b, d"):
        operations.update(arn, add=[], remove_names=["a"], output=None)
    with pytest.raises(InvalidInput, match="want a name that is new"):
        operations.update(arn, add=[metric("b")], remove_names=[], output=None)
    with pytest.raises(InvalidInput, match="at most 10"):
        operations.update(arn, add=[metric(f"m{number}") for number in range(9)], remove_names=[], output=None)
    assert names(world, arn) == ["b", "d"]


def test_metrics_whose_dataset_is_gone_do_not_stand_in_the_way_of_changes(world, group):
    arn = create(world, group, metric("margin", "SUM(Items.MARGIN)"), metric("views")).arn
    items = next(item for item in world.resources.datasets.list(EVERYTHING, dataset_group_arn=group).items
                 if item.dataset_type == "ITEMS")  # fmt: skip
    world.resources.datasets.delete(items.arn)

    place = MetricAttributionOutput(role_arn=OUTPUT.role_arn, s3_data_destination=S3DataConfig(path="s3://results/m/"))
    world.resources.metric_attributions.update(arn, add=[metric("clicks")], remove_names=["views"], output=place)

    assert names(world, arn) == ["clicks", "margin"]
    assert world.resources.metric_attributions.describe(arn).metrics_output_config == place


def test_a_metric_can_be_replaced_in_one_call(world, group):
    arn = create(world, group, metric("a")).arn
    world.resources.metric_attributions.update(
        arn, add=[metric("a", "SUM(Items.MARGIN)")], remove_names=["a"], output=None
    )
    (only,), _ = world.resources.metric_attributions.list_metrics(EVERYTHING, arn=arn)
    assert only.expression == "SUM(Items.MARGIN)"


def test_a_group_has_one_which_keeps_it_and_is_deleted_with_its_metrics(tmp_path):
    world = make_world(tmp_path, quotas=Quotas())
    group = world.group()
    world.dataset(group)
    arn = create(world, group).arn
    with pytest.raises(LimitExceeded, match="metric_attributions_per_group"):
        create(world, group, name="second")
    with pytest.raises(ResourceInUse, match="1 metric attributions"):
        world.resources.dataset_groups.delete(group)

    world.resources.metric_attributions.delete(arn)

    with pytest.raises(ResourceNotFound):
        world.resources.metric_attributions.list_metrics(EVERYTHING, arn=arn)
    assert create(world, group, name="second")
    world.metadata_store.close()
