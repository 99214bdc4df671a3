"""Writing what a runtime reads of a fitted model beside its index."""

from __future__ import annotations

from pathlib import Path

from recipes.components.exploration import ItemAges
from recipes.data.arrays import save_arrays
from recipes.evaluation.ranking import codes_of_users, situated_queries
from recipes.ports import ItemScorer
from recipes.spec import RecipeSpec
from trainer.training.loading import LoadedData

__all__ = ["pack"]


def pack(scorer: ItemScorer, declared: RecipeSpec, loaded: LoadedData, folder: Path) -> None:
    """Write a model with the histories of its users, and the vectors that it makes of them, into an existing folder.

    Of a model that knows users' columns the vectors contain them, and each user's codes are written too.
    """
    histories = loaded.data.histories().newest(declared.max_history)
    user_features = codes_of_users(scorer, loaded.data.users, n_users=loaded.data.n_users)
    scorer.save(folder)
    if declared.exploration != "none":
        ItemAges.of(loaded.data, loaded.shown).save(folder)
    loaded.items.save(folder, "items")
    loaded.users.save(folder, "users")
    save_arrays(
        folder,
        {
            "user_vectors": situated_queries(scorer, histories, user_features=user_features),
            "history_offsets": histories.offsets,
            "history_items": histories.items,
            "history_actions": histories.event_types,
            "history_times": histories.times,
            **({} if user_features is None else {"user_codes": user_features}),
        },
    )
