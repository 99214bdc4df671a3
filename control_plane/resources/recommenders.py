"""Operations on recommenders: use cases of a domain that are trained and served without solutions and campaigns.

Below each is a hidden solution with the recommender's ARN, whose versions are its trainings. What it serves is a
deployment, as that of a campaign, which is made with the request and waits for its version to be trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from common.errors import ResourceInUse
from control_plane.app_context import AppContext
from control_plane.domain.fields import already_exists, check_name, check_tags
from control_plane.domain.recipes import described_recipe
from control_plane.domain.recommenders import (
    COLUMNS_FIELD,
    check_recommender_config,
    trained_on,
    updated_config,
    use_case,
)
from control_plane.domain.solutions import check_columns_exist
from control_plane.domain.states import CREATING, DELETING, Status
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import DatasetGroup, Deployment, Recommender, Solution, SolutionVersion
from control_plane.resources.base import (
    Page,
    PageRequest,
    ResourceOperations,
    fetch,
    insert,
    list_page,
    require_active,
)
from control_plane.resources.datasets import columns_added_since, dataset_schemas
from control_plane.resources.schedules import stop_schedule
from control_plane.resources.versions import SolutionVersions
from control_plane.serving.assignments import deployment_in_progress
from control_plane.serving.revisions import next_revision
from control_plane.serving.targets import activate, served_version, start_retraining, successor
from protos.tailorbird.control.v1.recommender_pb2 import RecommenderConfig
from recipes.spec import RecipeSpec

__all__ = ["RecommenderView", "Recommenders"]

_FIELD: Final = "recommenderArn"
_UPDATABLE: Final = (Status.ACTIVE, Status.INACTIVE, Status.CREATE_FAILED)


@dataclass(frozen=True, slots=True)
class RecommenderView:
    """A recommender with its deployments, as DescribeRecommender shows it.

    Attributes:
        recommender: The recommender.
        serving: The deployment that it serves, or the first one while it serves none.
        version: The version of that deployment.
        latest_update: The deployment of its latest update; None when it was never updated.
    """

    recommender: Recommender
    serving: Deployment
    version: SolutionVersion
    latest_update: Deployment | None


class Recommenders(ResourceOperations):
    """Operations on recommenders.

    Args:
        app_context: Clock, ids, ARNs and quotas.
        versions: Trains them.
    """

    def __init__(self, app_context: AppContext, *, versions: SolutionVersions) -> None:
        super().__init__(app_context)
        self._versions = versions

    def create(
        self,
        unit: Unit,
        name: str,
        *,
        dataset_group_arn: str,
        recipe_arn: str,
        recommender_config: RecommenderConfig | None = None,
        tags: Sequence[tuple[str, str]] = (),
    ) -> Recommender:
        """Create a recommender, which becomes ACTIVE when it is trained and all live runtimes serve it.

        Raises:
            InvalidInput: Something in the request is wrong, or the group has no data to train on.
            ResourceNotFound: Group or recipe do not exist.
            ResourceAlreadyExists: The name is taken.
            ResourceInUse: The group is not ACTIVE.
            LimitExceeded: The group has as many recommenders as it may.
        """
        check_name("name", name)
        checked_tags = check_tags(tags)
        group = fetch(unit, DatasetGroup, dataset_group_arn, field="datasetGroupArn", kind="dataset-group")
        require_active(group.status, group.arn, field="datasetGroupArn")
        recipe = use_case(recipe_arn, group_arn=group.arn, domain=group.domain)
        config = updated_config(RecommenderConfig(), recommender_config or RecommenderConfig())
        self._check(unit, config, recipe, group_arn=group.arn)
        solution = self._solution(unit, name, group=group, recipe_arn=recipe_arn, config=config)
        now = self._now()
        recommender = Recommender(
            arn=solution.arn,
            name=name,
            dataset_group_arn=group.arn,
            solution_arn=solution.arn,
            recipe_arn=recipe_arn,
            creation_date_time=now,
            last_updated_date_time=now,
        )
        insert(unit, recommender, tags=checked_tags)
        version = self._versions.train(unit, solution, training_type="AUTOMATIC")
        self._check_quota(unit, "recommenders_per_group", Recommender, dataset_group_arn=group.arn)
        unit.add(self._deployment(recommender, version, config=config, number=1))
        return recommender

    def _solution(
        self, unit: Unit, name: str, *, group: DatasetGroup, recipe_arn: str, config: RecommenderConfig
    ) -> Solution:
        """Add the hidden solution of a new recommender."""
        arn = self._arn(unit, "recommender", name)
        if unit.get(Recommender, arn) is not None:
            raise already_exists(arn)
        now = self._now()
        solution = Solution(
            arn=arn,
            # No name of a caller's solution has a slash.
            name=f"recommender/{self._app_context.new_id()}",
            dataset_group_arn=group.arn,
            of_recommender=True,
            recipe_arn=recipe_arn,
            solution_config=trained_on(config),
            creation_date_time=now,
            last_updated_date_time=now,
        )
        insert(unit, solution)
        return solution

    def describe(self, unit: Unit, arn: str) -> RecommenderView:
        """Return a recommender; errors as of `fetch`."""
        recommender = self._fetch(unit, arn)
        serving = self._shown(unit, recommender)
        newest = unit.first(Deployment, target_arn=arn, order=["-number"])
        update = newest if newest is not None and newest.number > 1 else None
        return RecommenderView(recommender, serving, served_version(unit, serving), update)

    def list(
        self, unit: Unit, request: PageRequest, *, dataset_group_arn: str | None
    ) -> tuple[Page[Recommender], dict[str, Deployment]]:
        """Return a page of the recommenders of a group, or of all, and by ARN the deployments that Describe shows."""
        page = list_page(unit, Recommender, request, filters={"dataset_group_arn": dataset_group_arn})
        return page, {item.arn: self._shown(unit, item) for item in page.items}

    def update(self, unit: Unit, arn: str, *, recommender_config: RecommenderConfig) -> Recommender:
        """Serve another configuration; what is left out stays as it is.

        Other columns to train on, and a recommender whose training failed, are trained anew. An update that names what
        to train on takes up the columns that the datasets got since, unless it excludes them. The recommender answers
        as before until the update is ACTIVE, and when the update fails. One that is INACTIVE stays so.

        Raises:
            InvalidInput: Something in the configuration is wrong.
            ResourceNotFound: The recommender does not exist.
            ResourceInUse: It is in none of the states that allow it, or an update is in progress.
        """
        recommender = self._fetch(unit, arn)
        self._require_status(unit, recommender, *_UPDATABLE)
        current, before = self._current(unit, recommender)
        config = updated_config(before, recommender_config)
        recipe = described_recipe(recommender.recipe_arn)
        self._check(unit, config, recipe, group_arn=recommender.dataset_group_arn)
        version = served_version(unit, current)
        names_columns = recommender_config.HasField("training_data_config")
        other_columns = config.training_data_config != before.training_data_config
        if names_columns and not other_columns:
            other_columns = self._has_new_columns(unit, recommender, version)
        if version.status != Status.ACTIVE or other_columns:
            version = self._versions.train(
                unit,
                self._solution_of(unit, recommender),
                training_type="AUTOMATIC",
                config=trained_on(config),
                columns_chosen_at=self._now() if names_columns else version.columns_chosen_at,
            )
        newest = unit.first(Deployment, target_arn=arn, order=["-number"])
        assert newest is not None, "every recommender has a deployment"
        deployment = self._deployment(recommender, version, config=config, number=newest.number + 1)
        unit.add(deployment)
        if recommender.status == Status.INACTIVE and version.status == Status.ACTIVE:
            activate(unit, recommender, deployment, self._now())
        recommender.last_updated_date_time = self._now()
        next_revision(unit)
        return recommender

    def stop(self, unit: Unit, arn: str) -> Recommender:
        """Let runtimes serve a recommender no longer; it becomes INACTIVE when no live one does.

        Its weekly training ends.

        Raises:
            ResourceNotFound: It does not exist.
            ResourceInUse: It is not ACTIVE, or an update is in progress.
        """
        recommender = self._fetch(unit, arn)
        self._require_status(unit, recommender, Status.ACTIVE)
        stop_schedule(unit, recommender.solution_arn)
        recommender.status = Status.STOP_PENDING
        recommender.last_updated_date_time = self._now()
        recommender.deleted_revision = next_revision(unit)
        return recommender

    def start(self, unit: Unit, arn: str) -> Recommender:
        """Let runtimes serve a stopped recommender as it was; its next training is a week away.

        Raises:
            ResourceNotFound: It does not exist.
            ResourceInUse: It is not INACTIVE, or an update is in progress.
        """
        recommender = self._fetch(unit, arn)
        self._require_status(unit, recommender, Status.INACTIVE)
        before = unit.get(Deployment, recommender.serving_id)
        assert before is not None, "only what was served can be stopped"
        # Another id, for workers may still report that they have loaded the one before.
        again = successor(self._app_context, before, version_arn=before.solution_version_arn, number=before.number)
        again.status, again.creation_date_time = before.status, before.creation_date_time
        unit.remove(before)
        unit.add(again)
        recommender.serving_id = again.id
        start_retraining(unit, recommender, self._now())
        recommender.status = Status.START_PENDING
        recommender.last_updated_date_time = self._now()
        recommender.deleted_revision = None
        next_revision(unit)
        return recommender

    def delete(self, unit: Unit, arn: str) -> None:
        """Begin to delete a recommender.

        Its rows are removed when runtimes have dropped it and a trainer has removed its artifacts. A training that
        waits or runs is stopped.

        Raises:
            ResourceNotFound: It does not exist.
            ResourceInUse: An update is in progress, or it is being deleted already.
        """
        recommender = self._fetch(unit, arn)
        if recommender.status in DELETING:
            raise ResourceInUse(f"`{_FIELD}`: got {arn}, which is {recommender.status} already")
        self._require_no_update(unit, recommender)
        stop_schedule(unit, recommender.solution_arn)
        recommender.status = Status.DELETE_PENDING
        recommender.last_updated_date_time = self._now()
        recommender.deleted_revision = next_revision(unit)
        for deployment in unit.find(Deployment, target_arn=arn, status=CREATING):
            deployment.status = Status.DELETE_PENDING
        self._versions.stop_all(unit, self._solution_of(unit, recommender))

    @staticmethod
    def _fetch(unit: Unit, arn: str) -> Recommender:
        return fetch(unit, Recommender, arn, field=_FIELD, kind="recommender")

    @staticmethod
    def _check(unit: Unit, config: RecommenderConfig, recipe: RecipeSpec, *, group_arn: str) -> None:
        check_recommender_config(config, recipe)
        check_columns_exist(config.training_data_config, dataset_schemas(unit, group_arn), field=COLUMNS_FIELD)

    @classmethod
    def _require_status(cls, unit: Unit, recommender: Recommender, *allowed: Status) -> None:
        if recommender.status not in allowed:
            want = " or ".join(allowed)
            raise ResourceInUse(f"`{_FIELD}`: got {recommender.arn}, which is {recommender.status}, want {want}")
        cls._require_no_update(unit, recommender)

    @staticmethod
    def _require_no_update(unit: Unit, recommender: Recommender) -> None:
        running = deployment_in_progress(unit, recommender)
        if running is not None and running.number > 1:
            raise ResourceInUse(f"`{_FIELD}`: got {recommender.arn}, whose update is {running.status}; await its end")

    @staticmethod
    def _shown(unit: Unit, recommender: Recommender) -> Deployment:
        """Return the deployment that a recommender serves, or the first one while it serves none."""
        serving = unit.get(Deployment, recommender.serving_id) if recommender.serving_id else None
        shown = serving or unit.first(Deployment, target_arn=recommender.arn, order=["number"])
        assert shown is not None, "every recommender has a deployment"
        return shown

    @staticmethod
    def _current(unit: Unit, recommender: Recommender) -> tuple[Deployment, RecommenderConfig]:
        """Return the deployment that an update begins from, the one served or the newest, and its configuration."""
        current = unit.get(Deployment, recommender.serving_id) if recommender.serving_id else None
        current = current or unit.first(Deployment, target_arn=recommender.arn, refused=False, order=["-number"])
        assert current is not None, "every recommender has a deployment"
        assert current.recommender_config is not None, "every deployment of a recommender has one"
        return current, current.recommender_config

    @classmethod
    def _has_new_columns(cls, unit: Unit, recommender: Recommender, version: SolutionVersion) -> bool:
        """Return whether the datasets have columns that are newer than the choice of those that a version has."""
        chosen_at = version.columns_chosen_at or cls._solution_of(unit, recommender).creation_date_time
        return bool(columns_added_since(unit, recommender.dataset_group_arn, chosen_at))

    @staticmethod
    def _solution_of(unit: Unit, recommender: Recommender) -> Solution:
        solution = unit.get(Solution, recommender.solution_arn)
        assert solution is not None, "a foreign key holds it"
        return solution

    def _deployment(
        self, recommender: Recommender, version: SolutionVersion, *, config: RecommenderConfig, number: int
    ) -> Deployment:
        now = self._now()
        return Deployment(
            id=self._app_context.new_id(),
            target_arn=recommender.arn,
            number=number,
            solution_version_arn=version.arn,
            min_provisioned_tps=config.min_recommendation_requests_per_second,
            recommender_config=config,
            creation_date_time=now,
            last_updated_date_time=now,
        )
