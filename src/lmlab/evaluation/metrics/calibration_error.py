"""How far the probability of an answer is from the share of right answers; 0 to 1, lower is better."""

import numpy as np

from lmlab.config import Settings
from lmlab.evaluation.answers import answers_of, are_right
from lmlab.evaluation.metric import Examples, Floats, Metric
from lmlab.evaluation.metrics import METRICS

NUM_BINS = 15
_INNER_EDGES = np.arange(1, NUM_BINS) / NUM_BINS


@METRICS.register(Settings)
def build(*, language: str | None) -> Metric:  # noqa: ARG001
    """Expected calibration error over 15 bins of equal width, each weighted by its records.

    Sums: for each bin, right answers less the confidence in them; then records.
    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, section 2, equation 3.
    """
    return Metric("confidence", "lower", "calibration error", None, _statistics, _value, judges_records=False)


def _statistics(examples: Examples) -> Floats:
    answers = answers_of(examples)
    assert answers.confidence is not None, "this metric needs the probability of each answer"
    # Bin m holds m/15 < confidence <= (m + 1)/15, as in the paper; confidence 0 falls into the first.
    bins = np.searchsorted(_INNER_EDGES, answers.confidence, side="left")
    rows = np.zeros((len(bins), NUM_BINS + 1))
    rows[np.arange(len(bins)), bins] = are_right(answers) - answers.confidence
    rows[:, -1] = 1
    return rows


def _value(sums: Floats) -> Floats:
    return np.abs(sums[..., :-1]).sum(axis=-1) / sums[..., -1]
