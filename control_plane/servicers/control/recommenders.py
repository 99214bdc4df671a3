"""Operations on recommenders."""

from __future__ import annotations

from common.errors import invalid
from control_plane.domain.fields import required
from control_plane.metadata_store.tables import Deployment, Recommender
from control_plane.servicers.control.messages import status, timestamp
from control_plane.servicers.control.methods import Context, Methods, optional, page_request, tags_of
from protos.tailorbird.control.v1 import recommender_pb2

__all__ = ["RecommenderMethods"]


class RecommenderMethods(Methods):
    """Recommenders."""

    def CreateRecommender(
        self, request: recommender_pb2.CreateRecommenderRequest, context: Context
    ) -> recommender_pb2.CreateRecommenderResponse:
        """Ask for a use case to be trained and served."""
        recommender = self._transact(
            request,
            lambda unit: self._resources.recommenders.create(
                unit,
                required("name", request.name),
                dataset_group_arn=required("datasetGroupArn", request.dataset_group_arn),
                recipe_arn=required("recipeArn", request.recipe_arn),
                recommender_config=optional(request, "recommender_config"),
                tags=tags_of(request),
            ),
        )
        return recommender_pb2.CreateRecommenderResponse(recommender_arn=recommender.arn)

    def DescribeRecommender(
        self, request: recommender_pb2.DescribeRecommenderRequest, context: Context
    ) -> recommender_pb2.DescribeRecommenderResponse:
        """Describe a recommender, the metrics of what it serves, and its latest update."""
        arn = required("recommenderArn", request.recommender_arn)
        view = self._view(request, lambda unit: self._resources.recommenders.describe(unit, arn))
        recommender = view.recommender
        return recommender_pb2.DescribeRecommenderResponse(
            recommender=recommender_pb2.Recommender(
                recommender_arn=recommender.arn,
                dataset_group_arn=recommender.dataset_group_arn,
                name=recommender.name,
                recipe_arn=recommender.recipe_arn,
                recommender_config=view.serving.recommender_config,
                creation_date_time=timestamp(recommender.creation_date_time),
                last_updated_date_time=timestamp(recommender.last_updated_date_time),
                status=status(recommender.status),
                failure_reason=recommender.failure_reason,
                latest_recommender_update=None if view.latest_update is None else _update_summary(view.latest_update),
                model_metrics=view.version.metrics or {},
            )
        )

    def ListRecommenders(
        self, request: recommender_pb2.ListRecommendersRequest, context: Context
    ) -> recommender_pb2.ListRecommendersResponse:
        """List recommenders."""
        group = optional(request, "dataset_group_arn")
        page, shown = self._view(
            request,
            lambda unit: self._resources.recommenders.list(unit, page_request(request), dataset_group_arn=group),
        )
        return recommender_pb2.ListRecommendersResponse(
            recommenders=[_summary(item, shown[item.arn]) for item in page.items], next_token=page.next_token
        )

    def UpdateRecommender(
        self, request: recommender_pb2.UpdateRecommenderRequest, context: Context
    ) -> recommender_pb2.UpdateRecommenderResponse:
        """Ask for another configuration to be served."""
        arn = required("recommenderArn", request.recommender_arn)
        config = optional(request, "recommender_config")
        if config is None:
            raise invalid("recommenderConfig", got=None, want="a configuration")
        self._transact(request, lambda unit: self._resources.recommenders.update(unit, arn, recommender_config=config))
        return recommender_pb2.UpdateRecommenderResponse(recommender_arn=arn)

    def StopRecommender(
        self, request: recommender_pb2.StopRecommenderRequest, context: Context
    ) -> recommender_pb2.StopRecommenderResponse:
        """End the service of a recommender, which can be started again."""
        arn = required("recommenderArn", request.recommender_arn)
        self._transact(request, lambda unit: self._resources.recommenders.stop(unit, arn))
        return recommender_pb2.StopRecommenderResponse(recommender_arn=arn)

    def StartRecommender(
        self, request: recommender_pb2.StartRecommenderRequest, context: Context
    ) -> recommender_pb2.StartRecommenderResponse:
        """Ask for a stopped recommender to be served again."""
        arn = required("recommenderArn", request.recommender_arn)
        self._transact(request, lambda unit: self._resources.recommenders.start(unit, arn))
        return recommender_pb2.StartRecommenderResponse(recommender_arn=arn)

    def DeleteRecommender(
        self, request: recommender_pb2.DeleteRecommenderRequest, context: Context
    ) -> recommender_pb2.DeleteRecommenderResponse:
        """Delete a recommender with everything that was trained for it."""
        arn = required("recommenderArn", request.recommender_arn)
        self._transact(request, lambda unit: self._resources.recommenders.delete(unit, arn))
        return recommender_pb2.DeleteRecommenderResponse()


def _summary(recommender: Recommender, shown: Deployment) -> recommender_pb2.RecommenderSummary:
    return recommender_pb2.RecommenderSummary(
        name=recommender.name,
        recommender_arn=recommender.arn,
        dataset_group_arn=recommender.dataset_group_arn,
        recipe_arn=recommender.recipe_arn,
        recommender_config=shown.recommender_config,
        status=status(recommender.status),
        creation_date_time=timestamp(recommender.creation_date_time),
        last_updated_date_time=timestamp(recommender.last_updated_date_time),
    )


def _update_summary(deployment: Deployment) -> recommender_pb2.RecommenderUpdateSummary:
    return recommender_pb2.RecommenderUpdateSummary(
        recommender_config=deployment.recommender_config,
        creation_date_time=timestamp(deployment.creation_date_time),
        last_updated_date_time=timestamp(deployment.last_updated_date_time),
        status=status(deployment.status),
        failure_reason=deployment.failure_reason,
    )
