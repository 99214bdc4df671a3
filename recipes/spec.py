"""What can be known of a recipe without loading its code: its kind, what it reads, what may be configured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal

__all__ = [
    "BatchOption",
    "CampaignOption",
    "Domain",
    "Exploration",
    "HyperParameter",
    "RecipeKind",
    "RecipeSpec",
    "RecipeType",
    "SideData",
    "SolutionOption",
]

#: Personalize's types of recipes.
RecipeType = Literal[
    "USER_PERSONALIZATION",
    "POPULAR_ITEMS",
    "PERSONALIZED_RANKING",
    "RELATED_ITEMS",
    "USER_SEGMENTATION",
    "PERSONALIZED_ACTIONS",
]

#: Personalize's domains of dataset groups.
Domain = Literal["ECOMMERCE", "VIDEO_ON_DEMAND"]

#: Who explores new items: nobody, the service by itself, or the service as campaigns configure it.
Exploration = Literal["none", "managed", "configured"]

#: What is learnt from beside interactions: columns of the interactions, columns of the users.
SideData = Literal["context", "users"]

#: What solutions may configure that not every recipe has: members of the API, and the training mode UPDATE.
SolutionOption = Literal["eventsConfig", "optimizationObjective", "performIncrementalUpdate", "UPDATE"]

#: What campaigns may configure that not every recipe has, beside exploration.
CampaignOption = Literal["rankingInfluence"]

#: Modes of batch inference jobs that not every recipe has.
BatchOption = Literal["THEME_GENERATION"]

#: Every number in range is shorter, and Python neither reads nor compares integers of any length.
_MAX_DIGITS: Final = 100


class RecipeKind(StrEnum):
    """What a recipe answers: it decides by which program it is trained and by which pipeline it is served.

    Kinds are Personalize's types, two of which are cut: popular items by counts of a moment ago, and related items by
    their texts, are trained and served in another way than the rest of their type.
    """

    USER_PERSONALIZATION = "user-personalization"
    POPULAR_ITEMS = "popular-items"
    TRENDING_ITEMS = "trending-items"
    PERSONALIZED_RANKING = "personalized-ranking"
    RELATED_ITEMS = "related-items"
    SIMILAR_CONTENT = "similar-content"
    PERSONALIZED_ACTIONS = "personalized-actions"
    USER_SEGMENTATION = "user-segmentation"

    @property
    def recipe_type(self) -> RecipeType:
        """The type of recipe that Personalize's API shows, e.g. `USER_PERSONALIZATION`."""
        return _TYPES[self][0]

    @property
    def operation(self) -> str | None:
        """The operation that answers for campaigns of it; None for what only batch jobs answer."""
        return _TYPES[self][1]

    @property
    def batch_operation(self) -> str | None:
        """The operation that makes batch jobs of it; None where there is none."""
        return _TYPES[self][2]

    @property
    def is_personalized(self) -> bool:
        """Whether the answer depends on what the user did, so that events change it at once."""
        return self in _PERSONALIZED


_PERSONALIZED: Final = (
    RecipeKind.USER_PERSONALIZATION,
    RecipeKind.PERSONALIZED_RANKING,
    RecipeKind.PERSONALIZED_ACTIONS,
)
#: Batch jobs of everything but user segments.
_INFERENCE: Final = "CreateBatchInferenceJob"
_TYPES: Final[Mapping[RecipeKind, tuple[RecipeType, str | None, str | None]]] = {
    RecipeKind.USER_PERSONALIZATION: ("USER_PERSONALIZATION", "GetRecommendations", _INFERENCE),
    RecipeKind.POPULAR_ITEMS: ("POPULAR_ITEMS", "GetRecommendations", _INFERENCE),
    RecipeKind.TRENDING_ITEMS: ("POPULAR_ITEMS", "GetRecommendations", None),
    RecipeKind.PERSONALIZED_RANKING: ("PERSONALIZED_RANKING", "GetPersonalizedRanking", _INFERENCE),
    RecipeKind.RELATED_ITEMS: ("RELATED_ITEMS", "GetRecommendations", _INFERENCE),
    RecipeKind.SIMILAR_CONTENT: ("RELATED_ITEMS", "GetRecommendations", _INFERENCE),
    RecipeKind.PERSONALIZED_ACTIONS: ("PERSONALIZED_ACTIONS", "GetActionRecommendations", None),
    RecipeKind.USER_SEGMENTATION: ("USER_SEGMENTATION", None, "CreateBatchSegmentJob"),
}


@dataclass(frozen=True, slots=True)
class HyperParameter:
    """One key of `algorithmHyperParameters` or `featureTransformationParameters`; values travel as strings.

    Attributes:
        kind: How the string is read.
        default: The value where none is given; None for one that is worked out from the data.
        description: What it does, in a sentence.
        low: Smallest value, None for no limit; `above` excludes it.
        high: Largest value, None for no limit.
        above: The value must be larger than `low`, not equal to it.
        step: Integers must be multiples of it.
        choices: The values that a text may have.
        tunable: Whether tuning may choose it; then it has limits.
    """

    kind: Literal["boolean", "integer", "float", "text"]
    default: bool | float | str | None
    description: str
    low: float | None = None
    high: float | None = None
    above: bool = False
    step: int = 1
    choices: tuple[str, ...] = ()
    tunable: bool = False

    @property
    def want(self) -> str:
        """The range, for an error message."""
        if self.kind == "boolean":
            return "true or false"
        if self.kind == "text":
            return f"one of {', '.join(self.choices)}"
        article = "an integer" if self.kind == "integer" else "a number"
        low = "" if self.low is None else f" {'above' if self.above else 'from'} {self.low:g}"
        high = "" if self.high is None else f" to {self.high:g}"
        return f"{article}{low}{high}" + (f", a multiple of {self.step}" if self.step > 1 else "")

    def accepts(self, text: str) -> bool:
        """Whether the string is a value in range."""
        if self.kind == "boolean":
            return text.lower() in ("true", "false")
        if self.kind == "text":
            return text in self.choices
        if len(text) > _MAX_DIGITS:
            return False
        try:
            value = int(text) if self.kind == "integer" else float(text)
        except ValueError:
            return False
        if not math.isfinite(value) or (value % self.step and self.kind == "integer"):
            return False
        low_enough = self.high is None or value <= self.high
        high_enough = self.low is None or (value > self.low if self.above else value >= self.low)
        return low_enough and high_enough


HyperParameters = Mapping[str, HyperParameter]

_NONE: Final[HyperParameters] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class RecipeSpec:
    """The declaration of a recipe.

    Attributes:
        name: Personalize's name, e.g. `aws-user-personalization-v2`.
        kind: What it answers.
        description: One sentence for DescribeRecipe.
        config: `module:class` of its hyperparameters, a `recipes.config.RecipeConfig`.
        fitter: `module:attribute` of its `recipes.ports.FitterFactory`. A path, because its module may import JAX,
            which serving does not have.
        scorer: `module:attribute` of the function that opens a saved model.
        hyper_parameters: Keys that `algorithmHyperParameters` may hold.
        feature_parameters: Keys that `featureTransformationParameters` may hold.
        required_datasets: Types of datasets that a training cannot do without.
        retrained_on: Type of dataset whose new rows are a reason to train once more.
        side_data: What is learnt from beside the required datasets, where there is any. Users who have columns that
            are learnt from are known without interactions too.
        event_type: The only type of interactions that is learnt from, in any case; None for all.
        max_history: Newest interactions of a user that the model can make use of, more than a network reads, so that
            older items are known as repeats too; stored for every user.
        exploration: Who explores new items, if anybody.
        solution_options: What solutions may configure beside hyperparameters and columns.
        campaign_options: What campaigns may configure beside exploration.
        batch_options: Modes of batch inference jobs beside the plain one.
        reads_event_values: Whether solutions may choose interactions by their values: counts hold none.
        domain: For recommenders of this domain only; None for custom solutions.
        metadata_by_default: Whether answers may carry columns of items unless the configuration says no.
        names_user: Whether requests must name a user although the answer does not depend on what users did, as
            Personalize's do where they can leave out what the user has.
        left_out_event_type: Items that a user has such events with are left out of what the user gets, before any
            filter of the request: Personalize's automatic filter; None where nothing is.
        returns_reasons: Whether answers say why an item is among them where that is no ordinary one.
        encodes_new_items: Whether its scorer may know items that came after the training by their columns, see
            `recipes.ports.EncodesNewItems`.
        algorithm: Last part of the ARN of its algorithm; None where that is its own name.
        feature_transformation: Last part of the ARN of its feature transformation, None where none is known.
        published: When Personalize first listed it.
    """

    name: str
    kind: RecipeKind
    description: str
    config: str
    fitter: str
    scorer: str
    hyper_parameters: HyperParameters = field(default_factory=lambda: _NONE)
    feature_parameters: HyperParameters = field(default_factory=lambda: _NONE)
    required_datasets: tuple[str, ...] = ("INTERACTIONS",)
    retrained_on: str = "INTERACTIONS"
    side_data: frozenset[SideData] = frozenset()
    event_type: str | None = None
    max_history: int = 1000
    exploration: Exploration = "none"
    solution_options: frozenset[SolutionOption] = frozenset()
    campaign_options: frozenset[CampaignOption] = frozenset()
    batch_options: frozenset[BatchOption] = frozenset()
    reads_event_values: bool = True
    domain: Domain | None = None
    metadata_by_default: bool = False
    names_user: bool = False
    left_out_event_type: str | None = None
    returns_reasons: bool = False
    encodes_new_items: bool = False
    algorithm: str | None = None
    feature_transformation: str | None = None
    published: datetime = datetime(2019, 6, 10, tzinfo=UTC)

    @property
    def recipe_type(self) -> RecipeType:
        """The type of recipe that Personalize's API shows, e.g. `USER_PERSONALIZATION`."""
        return self.kind.recipe_type

    @property
    def returns_scores(self) -> bool:
        """Whether answers carry scores: those of personalized recipes do, but for use cases of domains."""
        return self.kind.is_personalized and self.domain is None

    @property
    def tunable_parameters(self) -> HyperParameters:
        """The keys of `algorithmHyperParameters` that tuning may choose."""
        return {name: parameter for name, parameter in self.hyper_parameters.items() if parameter.tunable}
