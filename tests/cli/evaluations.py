"""Evaluations for tests of what is shown of them."""

from protos.tailorbird.storage.v1 import evaluation_pb2


def measured(name, value, low=None, high=None):
    return evaluation_pb2.MeasuredMetric(name=name, value=value, low=low, high=high, users=40)


def evaluation(value=0.25, verdict=None):
    model = evaluation_pb2.ModelEvaluation(
        name="model",
        metrics=[measured("coverage", 0.5), measured("precision_at_5", value, value - 0.05, value + 0.05)],
        metrics_without_repeats=[measured("coverage", 0.125)],
    )
    popular = evaluation_pb2.ModelEvaluation(name="popularity", metrics=[measured("precision_at_5", 0.0625, 0.0, 0.1)])
    result = evaluation_pb2.Evaluation(test_users=40, model=model, baselines=[popular])
    if verdict is not None:
        result.comparison.CopyFrom(
            evaluation_pb2.Comparison(
                solution_version_arn="arn:aws:personalize:eu-west-1:123456789012:solution/films/before",
                verdict=verdict,
                users=38,
                reason="significantly worse than the one before",
                differences=[
                    evaluation_pb2.MetricDifference(
                        name="precision_at_5", value=value, predecessor=0.75, low=-0.625, high=-0.375
                    )
                ],
            )
        )
    return result
