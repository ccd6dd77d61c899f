"""The share of answers that equal a reference in every character; 0 to 1, higher is better."""

from lmlab.config import Settings
from lmlab.evaluation.answers import answers_of, are_right, average, scores_to_average
from lmlab.evaluation.metric import Metric
from lmlab.evaluation.metrics import METRICS


@METRICS.register(Settings)
def build(*, language: str | None) -> Metric:  # noqa: ARG001
    """Right answers over records; unlike exact match, it forgives no difference."""
    return Metric(
        needs="texts",
        better="higher",
        label="accuracy",
        signature=None,
        statistics=lambda examples: scores_to_average(are_right(answers_of(examples))),
        value=average,
    )
