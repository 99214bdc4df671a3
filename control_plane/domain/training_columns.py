"""Which columns a solution lets its trainings learn from (`solutionConfig.trainingDataConfig`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from common.avro import AvroSchema
from common.columns import EVENT_TYPE
from common.errors import invalid
from control_plane.domain.schemas import DatasetType, check_dataset_type

__all__ = ["check_columns_exist", "check_training_columns"]

_FIELD: Final = "solutionConfig.trainingDataConfig"
_EXCLUDED: Final = "excludedDatasetColumns"
_INCLUDED: Final = "includedDatasetColumns"
_MAX_DATASETS: Final = 3
_MAX_COLUMNS: Final = 50
_MAX_NAME: Final = 150
#: What an interaction, an item or a user is known by is no feature, and cannot be left out.
_ALWAYS: Final = frozenset({"USER_ID", "ITEM_ID", "TIMESTAMP", "ACTION_ID", EVENT_TYPE})


def check_training_columns(config: Mapping[str, Any]) -> None:
    """Check what `trainingDataConfig` says by itself.

    Raises:
        InvalidInput: Too many datasets or columns, a type of dataset that does not exist or is named twice, both forms
            for one dataset, or a column excluded that is always used.
    """
    chosen = {part: _by_type(part, config.get(part) or {}) for part in (_EXCLUDED, _INCLUDED)}
    for kind in sorted(chosen[_EXCLUDED].keys() & chosen[_INCLUDED].keys()):
        raise invalid(f"{_FIELD}.{_INCLUDED}.{kind}", got=kind, want=f"a dataset that is not in {_EXCLUDED} too")
    for kind, names in chosen[_EXCLUDED].items():
        if kept := sorted(_ALWAYS.intersection(names)):
            raise invalid(f"{_FIELD}.{_EXCLUDED}.{kind}", got=kept, want="columns that can be left out")


def check_columns_exist(config: Mapping[str, Any], schemas: Mapping[str, str]) -> None:
    """Make sure that the columns are those of the datasets that there are.

    Args:
        config: `trainingDataConfig`, checked by itself already.
        schemas: Avro schemas by type of dataset; types that the group has no dataset of are not judged.

    Raises:
        InvalidInput: A schema has no such column.
    """
    for part in (_EXCLUDED, _INCLUDED):
        for kind, names in _by_type(part, config.get(part) or {}).items():
            if kind not in schemas:
                continue
            known = [field.name for field in AvroSchema.parse(schemas[kind]).fields]
            for name in names:
                if name not in known:
                    raise invalid(f"{_FIELD}.{part}.{kind}", got=name, want=f"one of {', '.join(known)}")


def _by_type(part: str, value: Mapping[str, Sequence[str]]) -> dict[DatasetType, Sequence[str]]:
    if len(value) > _MAX_DATASETS:
        raise invalid(f"{_FIELD}.{part}", got=f"{len(value)} datasets", want=f"at most {_MAX_DATASETS}")
    found: dict[DatasetType, Sequence[str]] = {}
    for key, names in value.items():
        kind = check_dataset_type(key)
        if kind in found:
            raise invalid(f"{_FIELD}.{part}", got=sorted(value), want="every dataset once")
        if len(names) > _MAX_COLUMNS:
            raise invalid(f"{_FIELD}.{part}.{kind}", got=f"{len(names)} columns", want=f"at most {_MAX_COLUMNS}")
        if longest := [name for name in names if len(name) > _MAX_NAME]:
            raise invalid(f"{_FIELD}.{part}.{kind}", got=longest[0], want=f"names of at most {_MAX_NAME} characters")
        found[kind] = names
    return found
