"""What of a group is not declared and has to go, in the order that the API's rules of deletion need."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from cli.declaration.existing import Existing, ExistingGroup, last_part
from cli.declaration.kinds import Kind
from cli.declaration.model import Group
from cli.declaration.steps import Action, Ref, Stage, Step

__all__ = ["deletions"]


def deletions(declared: Group, existing: ExistingGroup, *, declared_schemas: Collection[str]) -> Iterator[Step]:
    """Yield the deletions of what a group has and the file does not declare.

    The schemas of deleted datasets go too, unless the file declares them or another dataset has them. The group stays.

    Args:
        declared: The group in the file.
        existing: The group as it is.
        declared_schemas: Names of the file's schemas.
    """
    group = existing.group.name
    yield from _deleted(group, existing.recommenders, declared.recommenders, stage=Stage.DELETED_RECOMMENDERS)
    for name, campaigns in existing.campaigns.items():
        solution = declared.solutions.get(name)
        kept = () if solution is None else solution.campaigns
        yield from _deleted(f"{group}/{name}", campaigns, kept, stage=Stage.DELETED_CAMPAIGNS)
    yield from _deleted(group, existing.filters, declared.filters, stage=Stage.DELETED_FILTERS)
    yield from _deleted(group, existing.solutions, declared.solutions, stage=Stage.DELETED_SOLUTIONS)
    tracker = declared.event_tracker
    yield from _deleted(
        group,
        existing.trackers,
        () if tracker is None else (tracker.name,),
        # A group has one tracker only, so that another has to go first.
        stage=Stage.DELETED_TRACKERS if tracker is None else Stage.REPLACED_TRACKERS,
    )
    kinds = {kind.upper() for kind in declared.datasets}
    datasets = {kind: item for kind, item in existing.datasets.items() if kind not in kinds}
    for kind, dataset in datasets.items():
        yield _deletion(dataset, f"{group}/{kind}", Stage.DELETED_DATASETS)
    schema_arns = sorted({str(dataset.described.schema_arn) for dataset in datasets.values()})
    in_use = {str(item.described.schema_arn) for kind, item in existing.datasets.items() if kind in kinds}
    for arn in schema_arns:
        name = last_part(arn)
        if name not in declared_schemas and arn not in in_use:
            yield Step(
                Action.DELETE, Ref(Kind.SCHEMA, name), name, Stage.DELETED_SCHEMAS, arn=arn, keeps_if_in_use=True
            )


def _deleted(parent: str, existing: dict[str, Existing], declared: Iterable[str], *, stage: Stage) -> Iterator[Step]:
    kept = frozenset(declared)
    for name, resource in existing.items():
        if name not in kept:
            yield _deletion(resource, f"{parent}/{name}", stage)


def _deletion(resource: Existing, label: str, stage: Stage) -> Step:
    return Step(Action.DELETE, Ref(resource.kind, resource.name), label, stage, arn=resource.arn)
