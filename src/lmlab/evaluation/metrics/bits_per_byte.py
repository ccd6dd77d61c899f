"""Bits a model needs for each byte of text; comparable across tokenizers and with compressors; lower is better."""

import math

from lmlab.config import Settings
from lmlab.evaluation.metric import Metric, columns
from lmlab.evaluation.metrics import METRICS


@METRICS.register(Settings)
def build(*, language: str | None) -> Metric:  # noqa: ARG001
    """Nats of all target tokens over ln 2 times the bytes of the target text.

    The separator that ends a record costs nats and adds no bytes, so the end of a text is paid for.
    """
    return Metric(
        needs="likelihood",
        better="lower",
        label="bits per byte",
        signature=None,
        statistics=lambda examples: columns(examples.nats, examples.bytes),
        value=lambda sums: sums[..., 0] / (math.log(2) * sums[..., 1]),
    )
