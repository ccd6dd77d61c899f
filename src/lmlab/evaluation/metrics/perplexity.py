"""The exponential of the mean nats per target token; comparable with one tokenizer only; lower is better."""

import numpy as np

from lmlab.config import Settings
from lmlab.evaluation.metric import Metric, columns
from lmlab.evaluation.metrics import METRICS


@METRICS.register(Settings)
def build(*, language: str | None) -> Metric:  # noqa: ARG001
    """Perplexity per target token, closing separators included."""
    return Metric(
        needs="likelihood",
        better="lower",
        label="perplexity",
        signature=None,
        statistics=lambda examples: columns(examples.nats, examples.tokens),
        value=lambda sums: np.exp(sums[..., 0] / sums[..., 1]),
        is_per_token=True,
    )
