"""The columns of the user of a request: what was put last, or else the snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from common.avro import AvroSchema
from common.columns import USER_ID
from common.deletions import DeletedUsers, id_digest
from common.features import Features, FeatureSnapshot
from common.filters.expression import Scalar
from runtime_service.features.put_values import read_puts
from runtime_service.history import Put

__all__ = ["UserFeatures"]


@dataclass(frozen=True, slots=True, eq=False)
class UserFeatures:
    """The users of a dataset group; immutable.

    Attributes:
        schema: Of the dataset.
        snapshot: None before there was one.
        offset: In the log, up to which the snapshot has what was put.
        deletions: Of users whom the snapshot still has.
    """

    schema: AvroSchema
    snapshot: FeatureSnapshot | None
    offset: int
    deletions: Sequence[DeletedUsers] = ()

    def values(
        self, user_id: str, names: Iterable[str], *, find_put: Callable[[str], Put | None]
    ) -> Mapping[str, tuple[Scalar, ...]] | None:
        """Return the values of a user in some columns; None for a user of whom nothing is known.

        Args:
            user_id: The user.
            names: Of columns.
            find_put: Returns what was put last of a user.
        """
        put = find_put(user_id)
        features = Features.of(self.snapshot, self.schema, offset=self.offset)
        if put is not None and put.offset > self.offset:
            features = features.with_puts(read_puts([put], self.schema, id_column=USER_ID))
        elif self._is_deleted(user_id):
            return None
        row = features.row(user_id)
        return None if row is None else {name: features.values_of(row, name) for name in names}

    def _is_deleted(self, user_id: str) -> bool:
        return any(bool(deletion.users.holds([id_digest(user_id)])[0]) for deletion in self.deletions)
