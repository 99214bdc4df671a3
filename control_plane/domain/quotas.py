"""Quotas: how many resources of each kind there may be. The defaults are Personalize's, and each is a setting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from common.errors import LimitExceeded

__all__ = ["Quotas"]

_PENDING: Final = "More than {limit} resources with PENDING or IN_PROGRESS status. "
#: Personalize's own wording by quota, which callers match.
_RECORDED: Final = {
    "pending_imports": _PENDING,
    "pending_solution_versions": _PENDING,
    "pending_exports": _PENDING,
    "pending_deletions_per_group": _PENDING,
    "pending_batch_inference_jobs": _PENDING,
    "pending_batch_segment_jobs": _PENDING,
    "campaigns_per_group": (
        "Cannot create a campaign. More than {limit} resources in ACTIVE state. Please delete some and try again. "
    ),
}


@dataclass(frozen=True, slots=True)
class Quotas:
    """Limits on the number of resources, checked when one is created."""

    dataset_groups: int = 5
    schemas: int = 500
    pending_imports: int = 5
    pending_solution_versions: int = 20
    solutions_per_group: int = 10
    campaigns_per_group: int = 5
    recommenders_per_group: int = 5
    filters_per_group: int = 30
    filter_fields_per_group: int = 20
    metric_attributions_per_group: int = 1
    pending_exports: int = 5
    pending_deletions_per_group: int = 5
    pending_batch_inference_jobs: int = 5
    pending_batch_segment_jobs: int = 5

    def limit(self, quota: str) -> int:
        """Return how many there may be, by the name of an attribute."""
        limit: int = getattr(self, quota)
        return limit

    def check(self, quota: str, *, used: int) -> None:
        """Check that one more resource is allowed.

        Args:
            quota: Name of one of the attributes.
            used: Number of existing resources.

        Raises:
            LimitExceeded: The quota is used up.
        """
        limit = self.limit(quota)
        if used >= limit:
            recorded = _RECORDED.get(quota, "").format(limit=limit)
            raise LimitExceeded(
                f"{recorded}`{quota}`: got {used + 1}, want at most {limit}; wait for or delete some, or raise the "
                f"setting TAILORBIRD_MAX_{quota.upper()}",
                metadata={"quota": quota, "limit": str(limit)},
            )
