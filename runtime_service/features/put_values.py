"""What was put, as features take it: the values of columns."""

from __future__ import annotations

from collections.abc import Iterable

from common.avro import AvroSchema
from common.errors import CorruptArtifact
from common.features import overlay
from common.features.values import entity_values
from common.logs import get_logger
from runtime_service.history import Put

__all__ = ["read_puts"]

_log = get_logger(__name__)


def read_puts(puts: Iterable[Put], schema: AvroSchema, *, id_column: str) -> list[overlay.Put]:
    """Return puts with the values of their columns; one that no schema accepted is left out, and logged as an ERROR.

    Args:
        puts: From the log.
        schema: Of their dataset.
        id_column: Its column of ids.
    """
    read = []
    for put in puts:
        try:
            values = entity_values(put.entity_id, put.properties_json, schema, id_column=id_column)
        except CorruptArtifact as error:
            _log.error(
                "put_left_out",
                offset=put.offset,
                dataset_group_arn=put.dataset_group_arn,
                dataset_type=put.dataset_type,
                message=error.message,
            )
        else:
            read.append(overlay.Put(put.offset, put.entity_id, values))
    return read
