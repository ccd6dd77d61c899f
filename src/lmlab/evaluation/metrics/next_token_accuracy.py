"""The share of target tokens that were the model's first choice; higher is better."""

from lmlab.config import Settings
from lmlab.evaluation.metric import Metric, columns
from lmlab.evaluation.metrics import METRICS


@METRICS.register(Settings)
def build(*, language: str | None) -> Metric:  # noqa: ARG001
    """Correct first choices over target tokens, closing separators included."""
    return Metric(
        needs="likelihood",
        better="higher",
        label="next-token accuracy",
        signature=None,
        statistics=lambda examples: columns(examples.correct, examples.tokens),
        value=lambda sums: sums[..., 0] / sums[..., 1],
        is_per_token=True,
    )
