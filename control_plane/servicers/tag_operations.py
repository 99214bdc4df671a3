"""Operations on tags."""

from __future__ import annotations

from control_plane.domain.fields import required
from control_plane.servicers.operations import Document, Operations, asked_tags

__all__ = ["TagOperations"]


class TagOperations(Operations):
    """Tags of resources."""

    def list_tags_for_resource(self, asked: Document) -> Document:
        """List the tags of a resource."""
        tags = self._resources.tags.list(required("resourceArn", asked.get("resourceArn", "")))
        return {"tags": [{"tagKey": tag.tag_key, "tagValue": tag.tag_value} for tag in tags]}

    def tag_resource(self, asked: Document) -> Document:
        """Add tags to a resource."""
        self._resources.tags.add(required("resourceArn", asked.get("resourceArn", "")), asked_tags(asked))
        return {}

    def untag_resource(self, asked: Document) -> Document:
        """Remove tags from a resource."""
        self._resources.tags.remove(required("resourceArn", asked.get("resourceArn", "")), asked.get("tagKeys", ()))
        return {}
