"""The demo from its first line to its last: stages, tables, figures; all of it through boto3."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.markup import escape

from cli.demo import generated, movielens
from cli.demo.items import EVENT, SCHEMAS, DemoData, Showcase
from cli.demo.journey import Journey
from cli.demo.show import before_and_after, metrics_table, recommendation_table
from cli.demo.stages import Stages
from common.errors import Unavailable

__all__ = ["Outcome", "find_data", "tell"]

_MODEL: Final = "aws-user-personalization-v2"
_BASELINE: Final = "aws-popularity-count"
#: Enough to see what there is to see; left alone, a training stops where it no longer gains, after two or three
#: times as many.
_EPOCHS: Final = 9
_SHOWN_USERS: Final = 3
_SHOWN_ITEMS: Final = 10
_WATCHED: Final = 3
_BUCKET: Final = "demo"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demo found out.

    Attributes:
        campaign_arn: Of the campaign that serves.
        user: The one whose list changed.
        record: Everything measured, for a file.
    """

    campaign_arn: str
    user: str
    record: Mapping[str, Any]


def find_data(cache: Path, *, console: Console) -> DemoData:
    """Return MovieLens 100K, or a generated catalogue where it cannot be had; say which, and whose it is.

    Raises:
        CorruptArtifact: What was downloaded is not what it should be.
    """
    try:
        data = movielens.load(cache)
    except Unavailable as error:
        console.print(f"[yellow]MovieLens 100K cannot be had:[/] {escape(error.message)}", highlight=False)
        data = generated.generate()
    console.print(f"[dim]{escape(data.notice)}[/]", highlight=False)
    return data


def tell(
    journey: Journey,
    data: DemoData,
    *,
    buckets: Path,
    console: Console,
    stages: Stages,
) -> Outcome:
    """Do the main job and show it.

    Args:
        journey: Connected to a running system.
        data: What to import.
        buckets: Folder that `s3://` stands for.
        console: Where to show.
        stages: Times the stages.
    """
    with stages.stage("clean up", "Resources of earlier demos are deleted"):
        journey.delete_groups_of_journeys()
    with stages.stage("create datasets", "Dataset group, Avro schemas, datasets"):
        journey.create_datasets(SCHEMAS)
    with stages.stage("import", f"Import of {len(data.watches):,} interactions, {len(data.items):,} films, "
                                f"{len(data.users):,} users from s3://{_BUCKET}/"):  # fmt: skip
        files = data.write_csv(buckets / _BUCKET)
        journey.import_csv({kind: f"s3://{_BUCKET}/{path.name}" for kind, path in files.items()})
    with stages.stage("train popularity", f"Solution version with {_BASELINE}"):
        baseline = journey.train(journey.create_solution("popularity", _BASELINE))
    with stages.stage("train", f"Solution version with {_MODEL}, {_EPOCHS} epochs"):
        solution = journey.create_solution("personal", _MODEL, hyperparameters={"epochs": _EPOCHS})
        version = journey.train(solution)
    metrics, popular = journey.metrics(version), journey.metrics(baseline)
    console.print(metrics_table(metrics, popular))
    with stages.stage("campaign", "Campaign: the runtime loads the version"):
        campaign = journey.create_campaign("films", version)
    with stages.stage("event tracker", "Event tracker"):
        tracking_id = journey.create_event_tracker()

    shown = data.showcases(_SHOWN_USERS)
    with stages.stage("recommendations", f"GetRecommendations for {_SHOWN_USERS} users"):
        lists = [journey.recommend(campaign, entry.user, count=_SHOWN_ITEMS) for entry in shown]
    for entry, found in zip(shown, lists, strict=True):
        console.print(recommendation_table(data, entry, found))
    millis = _event(journey, data, shown[0], campaign=campaign, tracking_id=tracking_id, console=console)
    record = {
        "data": data.name,
        "interactions": len(data.watches),
        "stage_seconds": stages.seconds,
        "total_seconds": round(sum(stages.seconds.values()), 2),
        "metrics": {_MODEL: metrics, _BASELINE: popular},
        "acknowledged_event_to_changed_list_ms": round(millis, 2),
        "solution_version_arn": version,
    }
    return Outcome(campaign, shown[0].user, record)


def _event(
    journey: Journey, data: DemoData, showcase: Showcase, *, campaign: str, tracking_id: str, console: Console
) -> float:
    genre, watched = data.other_taste(showcase.user, count=_WATCHED)
    titles = ", ".join(data.items[item].title for item in watched)
    before = journey.recommend(campaign, showcase.user, count=_SHOWN_ITEMS)
    journey.put_events(tracking_id, showcase.user, watched, event_type=EVENT)
    acknowledged_at = time.perf_counter()
    after, millis = journey.changed_recommendations(
        campaign, showcase.user, before=before, acknowledged_at=acknowledged_at
    )
    console.print(f"\nUser {showcase.user} now watches {genre}: [bold]{escape(titles)}[/]", highlight=False)
    console.print(before_and_after(data, before.items, after.items))
    console.print(f"From the acknowledged event to the changed list: [bold]{millis:.1f} ms[/]", highlight=False)
    return millis
