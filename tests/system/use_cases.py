"""The ten use cases of domains: data that they can be trained on, what each wants of a request, and what it answers.

A shop sells the generated films, and a video service shows them. In both, users go through series part by part. In the
shop they buy nearly all that they view; in the video service many watch one film at the end.
"""

from __future__ import annotations

import csv
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from cli.demo.generated import generate
from cli.demo.items import SCHEMAS, DemoData
from cli.demo.journey import RECIPE_ARN, Clients, Journey
from tests.control_plane.world import avro, column

__all__ = ["USE_CASES", "UseCase", "UseCaseData", "create_recommenders", "wait_for_recommender"]

_SHOP: Final = "ECOMMERCE"
_VIDEO: Final = "VIDEO_ON_DEMAND"
_VIDEOS: Final = avro(
    "Items",
    column("ITEM_ID"),
    column("GENRES", categorical=True),
    column("CREATION_TIMESTAMP", "long"),
)


@dataclass(frozen=True)
class UseCaseData:
    """The generated films as a shop and as a video service.

    Attributes:
        films: The films and who watched them.
        end: When one film is watched by many, a day after everything else, in seconds since 1970.
    """

    films: DemoData
    end: int

    @classmethod
    def generate(cls) -> UseCaseData:
        """Return data that end a few minutes ago: what trends, trends now."""
        return cls(generate(users=36, genres=3, series=8), end=int(time.time()) - 600)

    @cached_property
    def rising_film(self) -> str:
        """The film that many viewers watch at the end."""
        return list(self.films.items)[-1]

    @cached_property
    def last_viewers(self) -> list[str]:
        return list(self.films.users)[-12:]

    @cached_property
    def user(self) -> str:
        """A user in the middle of a series, and none of the last viewers."""
        users = list(self.films.users)[:-12]
        return next(user for user in users if self.next_part(user) is not None)

    def next_part(self, user: str) -> str | None:
        """Return the film that follows the last one of a user in its series; None at its end, or if it was seen."""
        films, seen = list(self.films.items), self.seen_by(user)
        place = films.index(seen[-1]) + 1
        return films[place] if place % 5 and films[place] not in seen else None

    def interactions(self, domain: str) -> Iterator[tuple[str, str, int, str, str]]:
        """Yield the rows of an Interactions dataset."""
        delay = self.end - 86_400 - max(row.timestamp for row in self.films.interactions)
        for number, row in enumerate(self.films.interactions):
            yield row.user, row.item, row.timestamp + delay, "View" if domain == _SHOP else "Watch", ""
            if domain == _SHOP and number % 20:
                yield row.user, row.item, row.timestamp + delay + 60, "Purchase", ""
        if domain == _VIDEO:
            for user in self.last_viewers:
                yield user, self.rising_film, self.end, "Watch", ""

    def users_of(self, domain: str, event_type: str) -> Counter[str]:
        """Return the number of users with events of a type, by item."""
        pairs = {(user, item) for user, item, _, kind, _ in self.interactions(domain) if kind == event_type}
        return Counter(item for _, item in pairs)

    def seen_by(self, user: str) -> list[str]:
        """Return the films of a user, in the order of their times."""
        rows = sorted((row for row in self.films.interactions if row.user == user), key=lambda row: row.timestamp)
        return [row.item for row in rows]

    def genres(self, items: Sequence[str]) -> Counter[str]:
        return Counter(genre for item in items for genre in self.films.items[item].genres)

    def write_csv(self, domain: str, folder: Path) -> dict[str, str]:
        """Write the files of a domain; return their places by dataset type."""
        folder.mkdir(parents=True, exist_ok=True)
        files = {
            "Interactions": (
                ("USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE", "EVENT_VALUE"),
                self.interactions(domain),
            )
        }
        if domain == _VIDEO:
            films = ((item, "|".join(film.genres), 1_600_000_000) for item, film in self.films.items.items())
            files["Items"] = (("ITEM_ID", "GENRES", "CREATION_TIMESTAMP"), films)
        for kind, (header, rows) in files.items():
            with (folder / f"{kind}.csv").open("w", newline="") as file:
                csv.writer(file).writerows([header, *rows])
        return {kind: f"s3://{folder.name}/{kind}.csv" for kind in files}


@dataclass(frozen=True)
class UseCase:
    """What a use case wants of a request, as Personalize documents it, and a check of what it answers.

    Attributes:
        recipe: Its recipe.
        domain: Its domain.
        fits: Whether items are a good answer to a request.
        needs_user: Whether a request must have a userId.
        needs_item: Whether a request must have an itemId.
        metrics: What is measured beside the metrics of every recipe.
    """

    recipe: str
    domain: str
    fits: Callable[[UseCaseData, Sequence[str], str], bool]
    needs_user: bool = True
    needs_item: bool = False
    metrics: frozenset[str] = frozenset()

    def request(self, user: str, item: str) -> dict[str, str]:
        """Return the required members of a request."""
        return {**({"userId": user} if self.needs_user else {}), **({"itemId": item} if self.needs_item else {})}


def _most_used(domain: str, event_type: str) -> Callable[[UseCaseData, Sequence[str], str], bool]:
    def fits(data: UseCaseData, items: Sequence[str], _: str) -> bool:
        users = data.users_of(domain, event_type)
        return [users[item] for item in items] == sorted(users.values(), reverse=True)[: len(items)]

    return fits


def _related(data: UseCaseData, items: Sequence[str], item: str) -> bool:
    return item not in items and set(data.genres(items[:3])) == set(data.films.items[item].genres)


def _not_bought(data: UseCaseData, items: Sequence[str], item: str) -> bool:
    """Of what goes with the item the user has bought nearly everything, which is left out."""
    rows = data.interactions(_SHOP)
    bought = {film for user, film, _, kind, _ in rows if user == data.user and kind == "Purchase"}
    return item not in items and not bought & set(items)


def _personal(data: UseCaseData, items: Sequence[str], _: str) -> bool:
    return data.next_part(data.user) in items[:3]


def _rising(data: UseCaseData, items: Sequence[str], _: str) -> bool:
    return items[0] == data.rising_film


#: Every use case, in the order of Personalize's guide.
USE_CASES: Final = (
    UseCase("aws-ecomm-popular-items-by-views", _SHOP, _most_used(_SHOP, "View")),
    UseCase("aws-ecomm-popular-items-by-purchases", _SHOP, _most_used(_SHOP, "Purchase")),
    UseCase("aws-ecomm-frequently-bought-together", _SHOP, _related, needs_user=False, needs_item=True),
    UseCase("aws-ecomm-customers-who-viewed-x-also-viewed", _SHOP, _not_bought, needs_item=True),
    UseCase("aws-ecomm-recommended-for-you", _SHOP, _personal),
    UseCase("aws-vod-because-you-watched-x", _VIDEO, _related, needs_item=True),
    UseCase("aws-vod-more-like-x", _VIDEO, _related, needs_item=True),
    UseCase("aws-vod-most-popular", _VIDEO, _most_used(_VIDEO, "Watch")),
    UseCase(
        "aws-vod-trending-now", _VIDEO, _rising, needs_user=False, metrics=frozenset({"trend_prediction_accuracy"})
    ),
    UseCase("aws-vod-top-picks", _VIDEO, _personal),
)


def create_recommenders(clients: Clients, data: UseCaseData, buckets: Path) -> dict[str, str]:
    """Create a dataset group of each domain with a recommender for each use case; return their ARNs by recipe.

    They are trained at the same time; this does not wait for them.
    """
    arns = {}
    for domain in (_SHOP, _VIDEO):
        name = domain.lower().replace("_", "-")
        schemas = {"Interactions": SCHEMAS["Interactions"], **({"Items": _VIDEOS} if domain == _VIDEO else {})}
        journey = Journey(clients, suffix=name)
        journey.create_datasets(schemas, domain=domain)
        journey.import_csv(data.write_csv(domain, buckets / name))
        for use_case in USE_CASES:
            if use_case.domain == domain:
                arns[use_case.recipe] = _create(clients.personalize, use_case.recipe, journey.dataset_group_arn)
    return arns


def _create(personalize: Any, recipe: str, group: str) -> str:
    arn: str = personalize.create_recommender(name=recipe, recipeArn=RECIPE_ARN + recipe, datasetGroupArn=group)[
        "recommenderArn"
    ]
    return arn


def wait_for_recommender(clients: Clients, arn: str) -> dict[str, Any]:
    """Wait until a recommender is ACTIVE, and return its description."""
    described: dict[str, Any] = {}

    def describe() -> dict[str, Any]:
        described.update(clients.personalize.describe_recommender(recommenderArn=arn)["recommender"])
        return described

    Journey(clients, suffix="").wait(arn, describe)
    return described
