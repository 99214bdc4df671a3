"""What the runtime counts and measures."""

from __future__ import annotations

from typing import Final

from common.telemetry import Figure, Kind

__all__ = [
    "ANSWERED_ITEMS",
    "ANSWERS",
    "DEPLOYMENTS_MISSING",
    "DEPLOYMENTS_SERVING",
    "EXPLORED_ITEMS",
    "FEATURES_MADE",
    "FIGURES",
    "LOADS",
    "NEW_ITEMS",
    "PROMOTED_ITEMS",
    "TAIL_FAILURES",
    "TAIL_NEXT_OFFSET",
    "TAIL_READ",
    "TAIL_RECORDS",
    "UPKEEP_FAILURES",
    "USER_STATES",
]

ANSWERS: Final = Figure(
    Kind.COUNTER,
    "tailorbird_answers_total",
    "Answers by whether they have the best items for certain, or are of an index that most often finds them.",
    ("proven",),
)
ANSWERED_ITEMS: Final = Figure(Kind.COUNTER, "tailorbird_answered_items_total", "Items in all answers.")
EXPLORED_ITEMS: Final = Figure(
    Kind.COUNTER,
    "tailorbird_explored_items_total",
    "Items in answers that exploration put there or lifted.",
)
PROMOTED_ITEMS: Final = Figure(
    Kind.COUNTER, "tailorbird_promoted_items_total", "Items in answers that a promotion put there."
)
NEW_ITEMS: Final = Figure(
    Kind.GAUGE,
    "tailorbird_new_items",
    "Items that came after the training of the models that a worker serves, and are served with them.",
    by_worker=True,
)
DEPLOYMENTS_SERVING: Final = Figure(
    Kind.GAUGE,
    "tailorbird_deployments_serving",
    "Campaigns and recommenders that a worker answers for.",
    by_worker=True,
)
DEPLOYMENTS_MISSING: Final = Figure(
    Kind.GAUGE,
    "tailorbird_deployments_missing",
    "Campaigns and recommenders that callers rely on and a worker cannot answer for: loading, or failed to load.",
    by_worker=True,
)
LOADS: Final = Figure(
    Kind.COUNTER, "tailorbird_artifact_loads_total", "Artifacts that were loaded, by how that ended.", ("outcome",)
)
TAIL_RECORDS: Final = Figure(
    Kind.COUNTER, "tailorbird_tail_records_total", "Records of the event log that this host has read."
)
TAIL_NEXT_OFFSET: Final = Figure(
    Kind.GAUGE,
    "tailorbird_tail_next_offset",
    "Offset that this host reads next; its lag is how far `tailorbird_log_end_offset` is ahead.",
)
TAIL_READ: Final = Figure(
    Kind.GAUGE,
    "tailorbird_tail_read_timestamp_seconds",
    "When the events service last answered this host, in seconds since 1970; it does so every ten seconds at least.",
)
TAIL_FAILURES: Final = Figure(
    Kind.COUNTER,
    "tailorbird_tail_failures_total",
    "Questions to the events service that failed, or whose answers could not be stored.",
)
UPKEEP_FAILURES: Final = Figure(
    Kind.COUNTER,
    "tailorbird_upkeep_failures_total",
    "Rounds of work beside the calls that failed, by what it is; each is tried again.",
    ("work",),
)
USER_STATES: Final = Figure(
    Kind.COUNTER,
    "tailorbird_user_states_total",
    "What personal answers started from: a state of the user's newer events, `cached` or `made` for the request, that "
    "of the training (`snapshot`), or that of `nobody`, which is what everybody likes.",
    ("state",),
)
FEATURES_MADE: Final = Figure(
    Kind.GAUGE,
    "tailorbird_features_timestamp_seconds",
    "When the oldest snapshot of features that a worker reads was made, in seconds since 1970; what was put since is "
    "read beside it.",
    by_worker=True,
)
FIGURES: Final = (
    ANSWERED_ITEMS,
    ANSWERS,
    DEPLOYMENTS_MISSING,
    DEPLOYMENTS_SERVING,
    EXPLORED_ITEMS,
    FEATURES_MADE,
    LOADS,
    NEW_ITEMS,
    PROMOTED_ITEMS,
    TAIL_FAILURES,
    TAIL_NEXT_OFFSET,
    TAIL_READ,
    TAIL_RECORDS,
    UPKEEP_FAILURES,
    USER_STATES,
)
