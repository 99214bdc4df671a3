"""What a worker knows of the datasets of a group: schemas, filters, and features as they are at a moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from common.avro import AvroSchema
from common.errors import InvalidInput, Unavailable
from common.features import Features, FeatureSnapshot
from common.filters import MAX_LENGTH, Dataset, Filter, parse_filter
from protos.tailorbird.internal.v1.serving_pb2 import ServingDatasetGroup
from runtime_service.features.users import UserFeatures

__all__ = ["DATASETS", "GroupFeatures", "GroupMeaning"]

#: The datasets that filters read, by the type that the contract names.
DATASETS: Final[Mapping[str, Dataset]] = {
    "ITEMS": Dataset.ITEMS,
    "USERS": Dataset.USERS,
    "INTERACTIONS": Dataset.INTERACTIONS,
    "ACTIONS": Dataset.ACTIONS,
    "ACTION_INTERACTIONS": Dataset.ACTION_INTERACTIONS,
}


@dataclass(frozen=True, slots=True)
class GroupMeaning:
    """What the control plane says of a group, read.

    Attributes:
        arn: Of the group.
        schemas: By type of dataset.
        locations: By type of dataset the newest snapshot of its features; empty for none.
        filters: By ARN; what is wrong with one that the schemas no longer fit.
    """

    arn: str
    schemas: Mapping[str, AvroSchema]
    locations: Mapping[str, str]
    filters: Mapping[str, Filter | InvalidInput]

    @classmethod
    def read(cls, message: ServingDatasetGroup) -> GroupMeaning:
        """Read the contract's message.

        Raises:
            InvalidInput: A schema cannot be read.
        """
        schemas = {item.dataset_type: AvroSchema.parse(item.schema) for item in message.datasets}
        by_dataset = {DATASETS[kind]: schema for kind, schema in schemas.items() if kind in DATASETS}
        filters: dict[str, Filter | InvalidInput] = {}
        for item in message.filters:
            try:
                # How many fields a filter may read was checked by the quota when it was created.
                filters[item.filter_arn] = parse_filter(item.filter_expression, by_dataset, max_fields=MAX_LENGTH)
            except InvalidInput as error:
                filters[item.filter_arn] = error
        locations = {item.dataset_type: item.features_location for item in message.datasets}
        return cls(message.dataset_group_arn, schemas, locations, filters)


@dataclass(frozen=True, slots=True, eq=False)
class GroupFeatures:
    """A group at a moment.

    Attributes:
        meaning: What the control plane says of it.
        features: Of ITEMS and ACTIONS, by type; those that are not loaded yet are missing.
        users: None where there is no such dataset, or it is not loaded yet.
    """

    meaning: GroupMeaning
    features: Mapping[str, Features] = field(default_factory=dict)
    users: UserFeatures | None = None

    def of(self, dataset_type: str) -> Features | None:
        """Return the features of items or actions; None where the group has no such dataset.

        Raises:
            Unavailable: They are not loaded yet.
        """
        features = self.features.get(dataset_type)
        if features is None and dataset_type in self.meaning.schemas:
            raise _not_loaded(dataset_type)
        return features

    def loaded_types(self) -> set[str]:
        """Return the types of the datasets that requests can read."""
        return {*self.features, *(() if self.users is None else ("USERS",))}

    def snapshots(self) -> dict[str, FeatureSnapshot]:
        """Return the snapshots that requests are answered from, by type of dataset."""
        used = {kind: features.snapshot for kind, features in self.features.items()}
        if self.users is not None:
            used["USERS"] = self.users.snapshot
        return {kind: snapshot for kind, snapshot in used.items() if snapshot is not None}

    def loaded_users(self) -> UserFeatures | None:
        """Return the users; None where the group has no such dataset.

        Raises:
            Unavailable: They are not loaded yet.
        """
        if self.users is None and "USERS" in self.meaning.schemas:
            raise _not_loaded("USERS")
        return self.users


def _not_loaded(dataset_type: str) -> Unavailable:
    return Unavailable(f"features of {dataset_type} could not be loaded here yet; it is tried again, so call again")
