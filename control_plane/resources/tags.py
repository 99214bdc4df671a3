"""Operations on the tags of resources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from common.arn import Arn
from common.errors import invalid
from control_plane.domain.fields import check_tag_keys, check_tags, does_not_exist, merge_tags
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import (
    AnyResource,
    BatchInferenceJob,
    BatchSegmentJob,
    Campaign,
    DataDeletionJob,
    Dataset,
    DatasetExportJob,
    DatasetGroup,
    DatasetImportJob,
    EventTracker,
    Filter,
    Recommender,
    Solution,
    SolutionVersion,
    Tag,
)
from control_plane.resources.base import ResourceOperations

__all__ = ["Tags"]

_TABLES: Final[dict[str, type[AnyResource]]] = {
    "batch-inference-job": BatchInferenceJob,
    "batch-segment-job": BatchSegmentJob,
    "campaign": Campaign,
    "data-deletion-job": DataDeletionJob,
    "dataset": Dataset,
    "dataset-export-job": DatasetExportJob,
    "dataset-group": DatasetGroup,
    "dataset-import-job": DatasetImportJob,
    "event-tracker": EventTracker,
    "filter": Filter,
    "recommender": Recommender,
    "solution": Solution,
}


class Tags(ResourceOperations):
    """Operations on tags."""

    def list(self, unit: Unit, arn: str) -> list[Tag]:
        """Return the tags of a resource, by key.

        Raises:
            InvalidInput: Resources of this kind carry no tags.
            ResourceNotFound: There is no such resource.
        """
        self._require(unit, arn)
        return unit.find(Tag, resource_arn=arn, order=["tag_key"])

    def add(self, unit: Unit, arn: str, tags: Sequence[tuple[str, str]]) -> None:
        """Add tags to a resource; a tag whose key it has already gets the new value.

        Raises:
            InvalidInput: A tag is malformed, or resources of this kind carry none.
            ResourceNotFound: There is no such resource.
            TooManyTags: The resource would have more than 50.
        """
        checked = check_tags(tags)
        self._require(unit, arn)
        rows = {tag.tag_key: tag for tag in unit.find(Tag, resource_arn=arn)}
        merge_tags({key: row.tag_value for key, row in rows.items()}, checked)
        for key, value in checked.items():
            if key in rows:
                rows[key].tag_value = value
            else:
                unit.add(Tag(resource_arn=arn, tag_key=key, tag_value=value))

    def remove(self, unit: Unit, arn: str, keys: Sequence[str]) -> None:
        """Remove tags from a resource; keys that it does not have are ignored.

        Raises:
            InvalidInput: A key is malformed, or resources of this kind carry no tags.
            ResourceNotFound: There is no such resource.
            TooManyTagKeys: More keys than one call may name.
        """
        checked = check_tag_keys(keys)
        self._require(unit, arn)
        for tag in unit.find(Tag, resource_arn=arn, tag_key=frozenset(checked)):
            unit.remove(tag)

    @staticmethod
    def _require(unit: Unit, arn: str) -> None:
        """Make sure that a resource exists and can have tags."""
        parsed = Arn.parse(arn, field="resourceArn")
        table = _TABLES.get(parsed.kind)
        if table is None:
            raise invalid("resourceArn", got=arn, want=f"the ARN of a {', '.join(_TABLES)} or solution version")
        if table is Solution and "/" in parsed.name:
            table = SolutionVersion
        if unit.get(table, arn) is None:
            raise does_not_exist(arn, field="resourceArn")
