"""Which declared imports are missing, told by the names of the import jobs.

The job of an import carries its name, with `__rREVISION` behind it if a revision is declared, and `__2`, `__3` ... from
the second job on: names of jobs are never free again. An import is done if the newest of its jobs that has not failed
read the declared location. Imports of a dataset are layers: FULL replaces what was imported before, so those behind it
must have been imported after it. The first is always FULL: the API takes no other into an empty dataset.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from cli.declaration.existing import FAILED, IN_PROGRESS, Existing, Reader, status_name
from cli.declaration.kinds import Kind
from cli.declaration.model import Dataset, Import
from cli.declaration.steps import Action, Parent, Ref, Stage, Step
from common.errors import LimitExceeded, invalid
from protos.tailorbird.control.v1 import common_pb2

__all__ = ["missing_imports"]

_MAX_NAME: Final = 63
_MAX_JOBS: Final = 1000
_FULL: Final = (common_pb2.IMPORT_MODE_UNSPECIFIED, common_pb2.IMPORT_MODE_FULL)


def missing_imports(dataset: Dataset, jobs: Sequence[Any], reader: Reader, *, ref: Ref) -> Iterator[Step]:
    """Yield the steps to the declared imports of a dataset, one wave each.

    Args:
        dataset: The declared dataset.
        jobs: Summaries of its import jobs, oldest first; without any if it does not exist.
        reader: Reads what exists.
        ref: The dataset in the plan.

    Raises:
        InvalidInput: The name of a job would be too long.
        LimitExceeded: All names of an import's jobs are taken.
    """
    replaced_at = (0, 0)
    again = False
    is_empty = not any(job.status == common_pb2.RESOURCE_STATUS_ACTIVE for job in jobs)
    for wave, (name, declared) in enumerate(dataset.imports.items()):
        base = name if declared.revision is None else f"{name}__r{declared.revision}"
        its_jobs = _jobs_of(base, jobs, others=dataset.imports.keys() - {name})
        existing = None if again else _newest(its_jobs, reader)
        label = f"{ref.name}/{name}"
        if existing is None or not _reads(existing, declared) or _created(existing.described) < replaced_at:
            request = _request(declared, is_first=is_empty and wave == 0)
            again = again or request.import_mode in _FULL
            request.job_name = _free_name(base, {job.job_name for job in its_jobs}, reader)
            details = (f"dataLocation: {declared.data_location}",)
            job = Ref(Kind.IMPORT_JOB, request.job_name)
            yield Step(Action.CREATE, job, label, Stage.IMPORTS, wave, request=request,
                       parents={"dataset_arn": Parent(ref)}, details=details)  # fmt: skip
            continue
        if existing.described.import_mode in _FULL:
            replaced_at = _created(existing.described)
        if existing.status in IN_PROGRESS:
            details = (f"it is {status_name(existing.status)}",)
            yield Step(Action.WAIT, Ref(Kind.IMPORT_JOB, existing.name), label, Stage.IMPORTS, wave, arn=existing.arn,
                       details=details)  # fmt: skip


def _jobs_of(base: str, jobs: Sequence[Any], *, others: set[str]) -> list[Any]:
    """Return the jobs of an import, without those that another import is named after."""
    pattern = re.compile(rf"{re.escape(base)}(__[0-9]+)?")
    return [job for job in jobs if pattern.fullmatch(job.job_name) and job.job_name not in others]


def _newest(jobs: Sequence[Any], reader: Reader) -> Existing | None:
    for job in reversed(jobs):
        if job.status not in FAILED:
            return reader.find(Kind.IMPORT_JOB, job.job_name)
    return None


def _reads(existing: Existing, declared: Import) -> bool:
    return bool(existing.described.data_source.data_location == declared.data_location)


def _created(job: Any) -> tuple[int, int]:
    return job.creation_date_time.seconds, job.creation_date_time.nanos


def _free_name(base: str, taken: set[str], reader: Reader) -> str:
    """Return the first name that no job of the account has."""
    for number in range(1, _MAX_JOBS):
        name = base if number == 1 else f"{base}__{number}"
        if len(name) > _MAX_NAME:
            raise invalid("imports", got=name, want=f"shorter names: those of jobs have at most {_MAX_NAME} characters")
        if name not in taken and reader.find(Kind.IMPORT_JOB, name) is None:
            return name
    raise LimitExceeded(f"`imports`: got {_MAX_JOBS} jobs of {base}, want another name of the import")


def _request(declared: Import, *, is_first: bool) -> Any:
    request = type(declared.request)()
    request.CopyFrom(declared.request)
    request.data_source.data_location = declared.data_location
    if is_first:
        request.import_mode = common_pb2.IMPORT_MODE_FULL
    return request
