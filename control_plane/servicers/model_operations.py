"""Operations on recipes, solutions, solution versions and campaigns."""

from __future__ import annotations

from google.protobuf.message import Message

from control_plane.domain.fields import check_page_size, required
from control_plane.domain.paging import Position, read_token, write_token
from control_plane.domain.recipes import algorithm_arn, described_recipe, feature_transformation_arn, recipe_arn
from control_plane.domain.states import Status
from control_plane.metadata_store.tables import Campaign, Deployment, Solution, SolutionVersion
from control_plane.resources.solutions import SolutionRequest
from control_plane.servicers.messages import as_document
from control_plane.servicers.operations import (
    Document,
    Operations,
    page_request,
    tags_of,
    to_page_response,
    to_response,
)
from recipes.catalog import RECIPES
from recipes.spec import RecipeSpec

__all__ = ["CampaignOperations", "RecipeOperations", "SolutionOperations"]


class RecipeOperations(Operations):
    """Recipes: those that are built."""

    def describe_recipe(self, request: Document) -> Document:
        """Describe a recipe."""
        recipe = described_recipe(required("recipeArn", request.get("recipeArn", "")))
        extra = {
            "algorithmArn": algorithm_arn(recipe),
            "featureTransformationArn": feature_transformation_arn(recipe),
            "description": recipe.description,
            "recipeType": recipe.recipe_type,
        }
        return {"recipe": {**_recipe(recipe), **extra}}

    def list_recipes(self, request: Document) -> Document:
        """List recipes, oldest first."""
        size = check_page_size(request.get("maxResults"))
        domain = request.get("domain")
        scope = f"recipes:{domain}"
        listed = [recipe for recipe in RECIPES.values() if domain in (None, recipe.domain)]
        listed.sort(key=lambda recipe: (recipe.published, recipe_arn(recipe)))
        if token := request.get("nextToken"):
            after = read_token(token, scope=scope)
            listed = [
                recipe for recipe in listed if (recipe.published, recipe_arn(recipe)) > (after.created, after.arn)
            ]
        page, rest = listed[:size], listed[size:]
        last = Position(page[-1].published, recipe_arn(page[-1])) if rest else None
        return {
            "recipes": [{**_recipe(recipe), "domain": recipe.domain} for recipe in page],
            "nextToken": write_token(last, scope=scope) if last else None,
        }


class SolutionOperations(Operations):
    """Solutions and their versions."""

    def create_solution(self, request: Document) -> Document:
        """Create a solution."""
        solution = self._resources.solutions.create(
            SolutionRequest(
                name=required("name", request.get("name", "")),
                dataset_group_arn=required("datasetGroupArn", request.get("datasetGroupArn", "")),
                recipe_arn=request.get("recipeArn"),
                event_type=request.get("eventType"),
                solution_config=request.get("solutionConfig"),
                perform_hpo=request.get("performHPO", False),
                perform_auto_ml=request.get("performAutoML", False),
                perform_auto_training=request.get("performAutoTraining", False),
                perform_incremental_update=request.get("performIncrementalUpdate", False),
                tags=tags_of(request),
            )
        )
        return {"solutionArn": solution.arn}

    def describe_solution(self, request: Document) -> Document:
        """Describe a solution with its newest version."""
        solution, newest = self._resources.solutions.describe(required("solutionArn", request.get("solutionArn", "")))
        extra = {
            "performHPO": solution.perform_hpo,
            "performAutoML": False,
            "performAutoTraining": False,
            "performIncrementalUpdate": False,
            "datasetGroupArn": solution.dataset_group_arn,
            "eventType": solution.event_type,
            "solutionConfig": _document(solution.solution_config),
            "latestSolutionVersion": None if newest is None else _version(newest),
        }
        return {"solution": {**_solution(solution), **extra}}

    def list_solutions(self, request: Document) -> Document:
        """List solutions."""
        page = self._resources.solutions.list(page_request(request), dataset_group_arn=request.get("datasetGroupArn"))
        return to_page_response("solutions", page, _solution)

    def delete_solution(self, request: Document) -> Document:
        """Delete a solution with all of its versions."""
        self._resources.solutions.delete(required("solutionArn", request.get("solutionArn", "")))
        return {}

    def create_solution_version(self, request: Document) -> Document:
        """Ask for a training."""
        version = self._resources.versions.create(
            required("solutionArn", request.get("solutionArn", "")),
            name=request.get("name"),
            training_mode=request.get("trainingMode"),
            tags=tags_of(request),
        )
        return {"solutionVersionArn": version.arn}

    def describe_solution_version(self, request: Document) -> Document:
        """Describe a solution version."""
        arn = required("solutionVersionArn", request.get("solutionVersionArn", ""))
        version = self._resources.versions.describe(arn)
        extra = {
            "name": version.name,
            "solutionArn": version.solution_arn,
            "performHPO": version.perform_hpo,
            "performAutoML": False,
            "performIncrementalUpdate": False,
            "recipeArn": version.recipe_arn,
            "eventType": version.event_type,
            "datasetGroupArn": version.dataset_group_arn,
            "solutionConfig": _document(version.solution_config),
            "trainingHours": version.training_hours,
            "tunedHPOParams": _tuned(version),
        }
        return {"solutionVersion": {**_version(version), **extra}}

    def list_solution_versions(self, request: Document) -> Document:
        """List solution versions."""
        page = self._resources.versions.list(page_request(request), solution_arn=request.get("solutionArn"))
        return to_page_response("solutionVersions", page, _version)

    def stop_solution_version_creation(self, request: Document) -> Document:
        """Stop a training."""
        self._resources.versions.stop(required("solutionVersionArn", request.get("solutionVersionArn", "")))
        return {}

    def get_solution_metrics(self, request: Document) -> Document:
        """Return what was measured of a version."""
        arn = required("solutionVersionArn", request.get("solutionVersionArn", ""))
        return {"solutionVersionArn": arn, "metrics": self._resources.versions.metrics(arn)}


class CampaignOperations(Operations):
    """Creating, describing, listing, updating and deleting campaigns."""

    def create_campaign(self, request: Document) -> Document:
        """Ask for a version to be served."""
        campaign = self._resources.campaigns.create(
            required("name", request.get("name", "")),
            solution_version_arn=required("solutionVersionArn", request.get("solutionVersionArn", "")),
            min_provisioned_tps=request.get("minProvisionedTPS"),
            campaign_config=request.get("campaignConfig"),
            tags=tags_of(request),
        )
        return {"campaignArn": campaign.arn}

    def describe_campaign(self, request: Document) -> Document:
        """Describe a campaign and its latest update."""
        view = self._resources.campaigns.describe(required("campaignArn", request.get("campaignArn", "")))
        update = view.latest_update
        latest = None if update is None else {**_deployment(update), **to_response(update, "status", "failureReason")}
        extra = {**_deployment(view.serving), "latestCampaignUpdate": latest}
        return {"campaign": {**_campaign(view.campaign), **extra}}

    def list_campaigns(self, request: Document) -> Document:
        """List campaigns."""
        page = self._resources.campaigns.list(page_request(request), solution_arn=request.get("solutionArn"))
        return to_page_response("campaigns", page, _campaign)

    def update_campaign(self, request: Document) -> Document:
        """Ask for another version or configuration to be served."""
        campaign = self._resources.campaigns.update(
            required("campaignArn", request.get("campaignArn", "")),
            solution_version_arn=request.get("solutionVersionArn"),
            min_provisioned_tps=request.get("minProvisionedTPS"),
            campaign_config=request.get("campaignConfig"),
        )
        return {"campaignArn": campaign.arn}

    def delete_campaign(self, request: Document) -> Document:
        """End the service of a campaign."""
        self._resources.campaigns.delete(required("campaignArn", request.get("campaignArn", "")))
        return {}


def _document(config: Message | None) -> Document | None:
    return None if config is None else as_document(config)


def _recipe(recipe: RecipeSpec) -> Document:
    return {
        "name": recipe.name,
        "recipeArn": recipe_arn(recipe),
        "status": Status.ACTIVE,
        "creationDateTime": recipe.published,
        "lastUpdatedDateTime": recipe.published,
    }


def _solution(solution: Solution) -> Document:
    return to_response(solution, "name", "status", "recipeArn", solutionArn=solution.arn)


def _version(version: SolutionVersion) -> Document:
    return to_response(
        version, "status", "failureReason", "trainingMode", trainingType="MANUAL", solutionVersionArn=version.arn
    )


def _tuned(version: SolutionVersion) -> Document | None:
    chosen = version.tuned_hyper_parameters
    return {"algorithmHyperParameters": chosen} if chosen else None


def _campaign(campaign: Campaign) -> Document:
    return to_response(campaign, "name", "status", "failureReason", campaignArn=campaign.arn)


def _deployment(deployment: Deployment) -> Document:
    return {
        "solutionVersionArn": deployment.solution_version_arn,
        "minProvisionedTPS": deployment.min_provisioned_tps,
        "campaignConfig": _document(deployment.campaign_config),
    }
