"""chrF: how many runs of one to six characters an answer shares with its reference; 0 to 100, higher is better."""

from lmlab.config import Settings
from lmlab.evaluation.metric import Metric
from lmlab.evaluation.metrics import METRICS
from lmlab.evaluation.sacre import summed_metric

_ORDERS = 6


@METRICS.register(Settings)
def build(*, language: str | None) -> Metric:  # noqa: ARG001
    """The chrF2 of the whole set by sacrebleu: recall counts twice as much as precision.

    Sums: for each length the runs of the answer, of the reference nearest to it and of both.
    Source: Popović 2015, chrF: character n-gram F-score for automatic MT evaluation.
    """
    from sacrebleu.metrics.chrf import CHRF

    return summed_metric(CHRF(), label="chrF", num_sums=3 * _ORDERS, judges_records=True)
