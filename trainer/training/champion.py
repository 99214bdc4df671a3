"""A version against its champion, the version before: is it better on users whom neither has learnt from?

What is served has learnt from everybody, the test users included, and would seem better than it is. So every version
keeps a second artifact, the model without what it was measured on, and this is what is compared; see ADR 0006.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from common.artifacts import Artifact, open_artifact, read_manifest
from common.errors import CorruptArtifact, ResourceNotFound
from common.logs import get_logger
from common.storage import Store
from protos.tailorbird.internal.v1.jobs_pb2 import PredecessorVersion
from protos.tailorbird.storage.v1 import evaluation_pb2
from recipes.evaluation.paired_tests import MIN_USERS, Pair, differences, verdict

__all__ = ["compare_with_champion", "describe_pair"]

_VERDICTS = {
    "BETTER": (evaluation_pb2.VERDICT_BETTER, "significantly better than"),
    "WORSE": (evaluation_pb2.VERDICT_WORSE, "significantly worse than"),
    "UNDECIDED": (evaluation_pb2.VERDICT_UNDECIDED, "not significantly different from"),
}

_log = get_logger(__name__)


def compare_with_champion(
    store: Store,
    champion: PredecessorVersion,
    pair_with: Callable[[Artifact], Pair],
    *,
    cache: Path,
    seed: int,
) -> evaluation_pb2.Comparison:
    """Compare a version with its champion.

    Args:
        store: With the champion's artifacts.
        champion: Which version it is.
        pair_with: Measures the champion's model, as it was measured then, by what the new one was measured by.
        cache: Folder for files from a store that is not local.
        seed: Where the draws of users begin.

    Raises:
        Unavailable: The store cannot be reached.
    """
    arn = champion.solution_version_arn
    try:
        manifest = read_manifest(store, champion.artifact_location)
        if not manifest.measured_model:
            return _not_compared(arn, f"{arn} kept no model to be compared with")
        pair = pair_with(open_artifact(store, f"{champion.artifact_location}/{manifest.measured_model}", cache=cache))
    except (ResourceNotFound, CorruptArtifact) as error:
        # Its own damage is no reason to have no successor.
        _log.warning("champion_unusable", solution_version_arn=arn, reason=error.message)
        return _not_compared(arn, f"{arn} cannot be measured: {error.message}")
    if not len(pair.challenger):
        return _not_compared(arn, f"{arn} was trained on all of the test users")
    comparison = describe_pair(pair, before=arn, seed=seed)
    comparison.solution_version_arn = arn
    return comparison


def describe_pair(pair: Pair, *, before: str, seed: int) -> evaluation_pb2.Comparison:
    """Say which of two models is better.

    Args:
        pair: Metrics of both.
        before: What to call the champion.
        seed: Where the draws of users begin.
    """
    compared = differences(pair, seed=seed)
    enum, words = _VERDICTS[verdict(pair, compared)]
    reason = f"{words} {before}"
    decided = next((item for item in compared if item.name == pair.primary_metric), None)
    if decided is None:
        reason += f": nobody counts in {pair.primary_metric}"
    else:
        reason += (
            f": {pair.primary_metric} {decided.challenger:.4f} instead of {decided.champion:.4f}, 95 % interval of the "
            f"difference {decided.low:+.4f} to {decided.high:+.4f}, on {len(pair.challenger)} users"
        )
    if len(pair.challenger) < MIN_USERS:
        reason += f"; fewer than {MIN_USERS} users decide nothing"
    return evaluation_pb2.Comparison(
        verdict=enum,
        judged_by=pair.primary_metric,
        users=len(pair.challenger),
        reason=reason,
        differences=[
            evaluation_pb2.MetricDifference(
                name=item.name, value=item.challenger, predecessor=item.champion, low=item.low, high=item.high
            )
            for item in compared
        ],
    )


def _not_compared(arn: str, reason: str) -> evaluation_pb2.Comparison:
    return evaluation_pb2.Comparison(
        solution_version_arn=arn, verdict=evaluation_pb2.VERDICT_NOT_COMPARED, users=0, reason=reason
    )
