"""What each component of the score fusion brings: `python -m benchmarks.quality.ablation DATA`.

The network of `aws-user-personalization-v2` is learnt once for each seed. Then its fusion is learnt again without each
component in turn, from the same held-out steps, so that the others may take over what it said, and measured by the
protocol of `benchmarks.quality.leave_one_out`, or with `--protocol personalize` by that of
`benchmarks.quality.personalize_split`. Without repeats the other weights stay as they are. Columns of items and users
are left out: this is about what histories tell.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality import leave_one_out, personalize_split
from benchmarks.quality.data import DATA_ROOT, DEMO, load
from benchmarks.report import markdown_table, publish, spread
from inference.batch import catalogue_scores
from recipes.catalog import get_recipe
from recipes.components.item_regression.fit import fit_item_regression
from recipes.components.item_regression.score import ItemRegression
from recipes.components.recency import popularity_features
from recipes.components.score_fusion.fit import HeldOutSteps, learn_score_fusion
from recipes.components.score_fusion.score import ScoreFusion
from recipes.components.sequence_scorer import SequenceScorer
from recipes.components.sequential_rules import SequentialRules
from recipes.data.columns import Columns
from recipes.data.sparse import SparseRows
from recipes.data.training_data import TrainingData
from recipes.evaluation.splits import hold_out_users
from recipes.models.sasrec.config import SASRecConfig
from recipes.models.sasrec.network import SASRec
from recipes.ports import ignore_progress
from recipes.registry import read_config
from recipes.training.batching import SideFeatures
from recipes.training.early_stopping import hold_out
from recipes.training.sequence_model import SequenceModel, SequenceState, count_uses, fit_sequence_model

__all__ = ["COMPONENTS", "FusedModel", "fit_network"]

_MODEL = "aws-user-personalization-v2"
COMPONENTS = ("network", "rules", "regression", "popularity", "repeats")
_ALL = "everything"
#: Figures shown of each protocol, by their names in the table.
_SHOWN = {
    "leave-one-out": {"NDCG@10": "ndcg_at_10", "HR@10": "hit_rate_at_10"},
    "personalize": {
        "MRR@25": "mean_reciprocal_rank_at_25",
        "P@10": "precision_at_10",
        "P@25": "precision_at_25",
        "NDCG@25": "normalized_discounted_cumulative_gain_at_25",
    },
}

#: Returns the figures of a scorer.
_Measure = Callable[[SequenceScorer], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class FusedModel:
    """A network that was learnt, and what its fusion is learnt from.

    Attributes:
        state: Of the fit.
        steps: Held out from it.
        regression: With the weight 1.
        n_event_types: Event types that the data name.
    """

    state: SequenceState
    steps: HeldOutSteps
    regression: ItemRegression
    n_event_types: int

    def scorer(self, *, without: str = "") -> SequenceScorer:
        """Learn the fusion, perhaps without one of `COMPONENTS`, and return the model as it serves."""
        steps, rules, regression = self.steps, self.state.assembly.rules, self.regression
        parameters = self.state.parameters
        if without == "network":
            parameters = parameters | {"item_embeddings": np.zeros_like(parameters["item_embeddings"])}
            # The last coordinate is that of the items' biases, which stay.
            steps = replace(
                steps, queries=np.append(np.zeros_like(steps.queries[:, :-1]), steps.queries[:, -1:], axis=1)
            )
        if without == "rules":
            rules = SequentialRules(_no_weights(len(steps.item_vectors)), rules.shape)
        if without == "regression":
            regression = ItemRegression.nothing()
        if without == "popularity":
            steps = replace(steps, popularity=np.zeros_like(steps.popularity))
        fusion, regression = learn_score_fusion(steps, rules, regression, n_event_types=self.n_event_types)
        if without == "repeats":
            fusion = replace(fusion, recency=np.zeros_like(fusion.recency), count=np.zeros_like(fusion.count))
        assembly = self.state.assembly._replace(rules=rules, regression=regression)
        return assembly.scorer(parameters, score_fusion=fusion, popularity=steps.popularity)


def fit_network(data: TrainingData, config: SASRecConfig, *, seed: int) -> FusedModel:
    """Learn a network without columns, and collect again what its fusion was learnt from.

    Args:
        data: To learn from; what validation needs is held out inside.
        config: Of the network.
        seed: Of the fit.
    """
    data = replace(data, items=Columns(), users=Columns())
    model = SequenceModel(SASRec.from_config(config), config, seed=seed, weighs_recency=config.apply_recency_bias)
    state = fit_sequence_model(model, data, items=None, progress=ignore_progress)
    worth = data.target_weights()
    # The same steps as in the fit: they hang on the seed alone.
    validation, kept = hold_out(data.histories(), count=config.validation_targets, seed=seed, weights=worth)
    training = data.histories().where(kept)
    uses = count_uses(training, worth[kept], n_items=data.n_items, half_life=state.half_life, items=None)
    of_network = ScoreFusion.of_network(n_event_types=len(data.event_types))
    plain = state.assembly.scorer(state.parameters, score_fusion=of_network)
    steps = HeldOutSteps(
        validation.histories,
        validation.targets,
        queries=validation.embed(plain, SideFeatures(None, None)),
        item_vectors=plain.item_vectors,
        popularity=popularity_features(training, uses),
        repeat_bias=state.report["repeat_bias"],
        weights=validation.weights,
        owners=validation.owners,
    )
    regression = fit_item_regression(training, worth[kept], n_items=data.n_items, progress=lambda _: None)
    return FusedModel(state, steps, regression, len(data.event_types))


def main() -> None:
    """Run and print; every seed's figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help=f"`{DEMO}`, or the path of a file, perhaps below ${DATA_ROOT}")
    parser.add_argument("--protocol", choices=list(_SHOWN), default="leave-one-out")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="hyperparameters of the recipe")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    hyperparameters = dict(entry.split("=", 1) for entry in arguments.set)
    dataset = load(arguments.data)
    run = {"leave-one-out": _leave_one_out, "personalize": _personalize}[arguments.protocol]
    of_seeds = [run(dataset.data, hyperparameters, seed=seed) for seed in arguments.seeds]
    runs = {name: [of_seed[name] for of_seed in of_seeds] for name in of_seeds[0]}
    figures = {
        "data": dataset.name,
        "users": dataset.data.n_users,
        "items": dataset.data.n_items,
        "interactions": len(dataset.data.interactions),
        "protocol": arguments.protocol,
        "hyperparameters": hyperparameters,
        "seeds": arguments.seeds,
        "runs": runs,
    }
    publish(figures, table=_table(figures, runs), output=arguments.output)


def _leave_one_out(
    data: TrainingData, hyperparameters: Mapping[str, str], *, seed: int
) -> dict[str, Mapping[str, float]]:
    split = leave_one_out.leave_one_out(data)
    values = {"validation_targets": str(leave_one_out.count_held_out(split))} | dict(hyperparameters)
    return _ablate(
        fit_network(split.shown, _config(values), seed=seed),
        lambda scorer: leave_one_out.metrics(catalogue_scores(scorer, split.histories), split),
    )


def _personalize(
    data: TrainingData, hyperparameters: Mapping[str, str], *, seed: int
) -> dict[str, Mapping[str, float]]:
    split = hold_out_users(data, seed=seed)
    return _ablate(
        fit_network(split.training, _config(hyperparameters), seed=seed),
        lambda scorer: personalize_split.measure(catalogue_scores(scorer, split.histories), split),
    )


def _ablate(model: FusedModel, measure: _Measure) -> dict[str, Mapping[str, float]]:
    measured = {_ALL: measure(model.scorer())}
    return measured | {f"without {name}": measure(model.scorer(without=name)) for name in COMPONENTS}


def _config(values: Mapping[str, str]) -> SASRecConfig:
    config = read_config(get_recipe(_MODEL), values)
    assert isinstance(config, SASRecConfig), "the catalog names it"
    return config


def _no_weights(n_items: int) -> SparseRows:
    return SparseRows(np.zeros(n_items + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))


def _table(figures: Mapping[str, Any], runs: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    shown = _SHOWN[figures["protocol"]]
    rows = []
    for name, of_seeds in runs.items():
        cells: list[str] = []
        for key in shown.values():
            lost = [full[key] - run[key] for full, run in zip(runs[_ALL], of_seeds, strict=True)]
            cells += [spread([run[key] for run in of_seeds]), "" if name == _ALL else spread(lost)]
        rows.append((name, len(of_seeds), *cells))
    about = "{data}: {users:,} users, {items:,} items, {interactions:,} interactions; {protocol}\n\n".format(**figures)
    header = [name for metric in shown for name in (metric, "its gain")]
    return about + markdown_table(("model", "seeds", *header), rows)


if __name__ == "__main__":
    main()
