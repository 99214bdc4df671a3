"""Runs the demo: imports data, trains, serves and recommends through boto3, and shows each stage and its results."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.markup import escape

from cli.demo import generated, movielens
from cli.demo.items import EVENT, SCHEMAS, DemoData, TasteProfile
from cli.demo.journey import Journey
from cli.demo.output import StageTimer, before_and_after, metrics_table, recommendation_table
from common.errors import Unavailable

__all__ = ["Outcome", "load_data", "run_demo"]

_MODEL: Final = "aws-user-personalization-v2"
_BASELINE: Final = "aws-popularity-count"
_SHOWN_USERS: Final = 3
_SHOWN_ITEMS: Final = 10
_EVENT_COUNT: Final = 3
_BUCKET: Final = "demo"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The results of the demo.

    Attributes:
        campaign_arn: ARN of the campaign.
        user: Id of the user whose recommendations changed.
        record: Metrics and durations, to be written to a file.
    """

    campaign_arn: str
    user: str
    record: Mapping[str, Any]


def load_data(cache: Path, *, console: Console) -> DemoData:
    """Return MovieLens 100K, or generated data where it is not available; print which, with its source and licence.

    Raises:
        CorruptArtifact: The download has another checksum than it should have.
    """
    try:
        data = movielens.load(cache)
    except Unavailable as error:
        console.print(f"[yellow]MovieLens 100K cannot be had:[/] {escape(error.message)}", highlight=False)
        data = generated.generate()
    console.print(f"[dim]{escape(data.notice)}[/]", highlight=False)
    return data


def run_demo(
    journey: Journey,
    data: DemoData,
    *,
    buckets: Path,
    console: Console,
    timer: StageTimer,
) -> Outcome:
    """Run all stages of the demo and show their results.

    Args:
        journey: The steps, connected to a running system.
        data: The data to import.
        buckets: Folder with a subfolder for each bucket of `s3://`.
        console: Where the results are shown.
        timer: Shows and times the stages.
    """
    with timer.stage("clean up", "Resources of earlier demos are deleted"):
        journey.delete_earlier_groups()
    with timer.stage("create datasets", "Dataset group, Avro schemas, datasets"):
        journey.create_datasets(SCHEMAS)
    with timer.stage("import", f"Import of {len(data.interactions):,} interactions, {len(data.items):,} films, "
                                f"{len(data.users):,} users from s3://{_BUCKET}/"):  # fmt: skip
        files = data.write_csv(buckets / _BUCKET)
        journey.import_csv({kind: f"s3://{_BUCKET}/{path.name}" for kind, path in files.items()})
    with timer.stage("train popularity", f"Solution version with {_BASELINE}"):
        baseline = journey.train(journey.create_solution("popularity", _BASELINE))
    with timer.stage("train", f"Solution version with {_MODEL}"):
        solution = journey.create_solution("personal", _MODEL)
        version = journey.train(solution)
    metrics, popular = journey.metrics(version), journey.metrics(baseline)
    console.print(metrics_table(metrics, popular))
    with timer.stage("campaign", "Campaign: the runtime loads the version"):
        campaign = journey.create_campaign("films", version)
    with timer.stage("event tracker", "Event tracker"):
        tracking_id = journey.create_event_tracker()

    profiles = data.strongest_tastes(_SHOWN_USERS)
    with timer.stage("recommendations", f"GetRecommendations for {_SHOWN_USERS} users"):
        lists = [journey.recommend(campaign, profile.user, count=_SHOWN_ITEMS) for profile in profiles]
    for profile, recommendations in zip(profiles, lists, strict=True):
        console.print(recommendation_table(data, profile, recommendations))
    millis = _send_events(journey, data, profiles[0], campaign=campaign, tracking_id=tracking_id, console=console)
    record = {
        "data": data.name,
        "interactions": len(data.interactions),
        "stage_seconds": timer.seconds,
        "total_seconds": round(sum(timer.seconds.values()), 2),
        "metrics": {_MODEL: metrics, _BASELINE: popular},
        "acknowledged_event_to_changed_list_ms": round(millis, 2),
        "solution_version_arn": version,
    }
    return Outcome(campaign, profiles[0].user, record)


def _send_events(
    journey: Journey, data: DemoData, profile: TasteProfile, *, campaign: str, tracking_id: str, console: Console
) -> float:
    """Send events of a genre that is new to a user; return the milliseconds until the recommendations changed."""
    genre, item_ids = data.unfamiliar_genre(profile.user, count=_EVENT_COUNT)
    titles = ", ".join(data.items[item].title for item in item_ids)
    before = journey.recommend(campaign, profile.user, count=_SHOWN_ITEMS)
    journey.put_events(tracking_id, profile.user, item_ids, event_type=EVENT)
    acknowledged_at = time.perf_counter()
    after, millis = journey.changed_recommendations(
        campaign, profile.user, before=before, acknowledged_at=acknowledged_at
    )
    console.print(f"\nUser {profile.user} now watches {genre}: [bold]{escape(titles)}[/]", highlight=False)
    console.print(before_and_after(data, before.items, after.items))
    console.print(f"From the acknowledged event to the changed list: [bold]{millis:.1f} ms[/]", highlight=False)
    return millis
