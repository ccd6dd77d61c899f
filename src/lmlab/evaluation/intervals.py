"""95 % intervals by the percentile bootstrap: units drawn with replacement, the same draws for every metric."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lmlab.evaluation.metric import Examples, Floats, Metric

BOUNDS = (2.5, 97.5)


class Estimate(NamedTuple):
    """A metric on the whole split, and the bounds of its 95 % interval."""

    value: float
    low: float
    high: float


class Units(NamedTuple):
    """What is drawn with replacement: `numbers` says for each record which unit it belongs to, from 0 on."""

    kind: str
    total: int
    numbers: NDArray[np.int64]


def resampling_units(documents: NDArray[np.int64], *, min_documents: int) -> Units:
    """The documents; or, if there are fewer than `min_documents`, the records that they were cut into."""
    count, numbers = number_runs(documents)
    if count >= min_documents:
        return Units("documents", count, numbers)
    return Units("records", len(documents), np.arange(len(documents)))


def number_runs(values: NDArray[np.int64]) -> tuple[int, NDArray[np.int64]]:
    """How many runs of equal neighbours there are, and for each value the number of its run, from 0 on."""
    is_first = np.ones(len(values), dtype=bool)
    is_first[1:] = values[1:] != values[:-1]
    numbers = np.cumsum(is_first) - 1
    return int(is_first.sum()), numbers.astype(np.int64)


def estimates(
    metrics: Mapping[str, Metric], examples: Examples, units: Units, *, num_resamples: int, seed: int
) -> dict[str, Estimate]:
    """Each metric with its interval."""
    statistics = {name: _sum_by_unit(metric.statistics(examples), units) for name, metric in metrics.items()}
    drawn = _resampled_sums(np.hstack(list(statistics.values())), num_resamples=num_resamples, seed=seed)
    found, column = {}, 0
    for name, metric in metrics.items():
        width = statistics[name].shape[1]
        value = float(metric.value(statistics[name].sum(axis=0)))
        low, high = np.percentile(metric.value(drawn[:, column : column + width]), BOUNDS)
        found[name] = Estimate(value, float(low), float(high))
        column += width
    return found


def _sum_by_unit(statistics: Floats, units: Units) -> Floats:
    sums = [np.bincount(units.numbers, weights=column, minlength=units.total) for column in statistics.T]
    return np.stack(sums, axis=1).astype(np.float64)


def _resampled_sums(statistics: Floats, *, num_resamples: int, seed: int) -> Floats:
    generator = np.random.default_rng(seed)
    count = len(statistics)
    # One resample at a time: all of them at once would take num_resamples times the memory of a large split.
    draws = (np.bincount(generator.integers(count, size=count), minlength=count) for _ in range(num_resamples))
    # Not `draw @ statistics`: a matrix product's last digits depend on the machine's threads and on other columns.
    return np.stack([(draw[:, None] * statistics).sum(axis=0) for draw in draws])


class Difference(NamedTuple):
    """How much greater a metric is for one model than for another on the same records."""

    value: float
    low: float
    high: float
    """The bounds of the 95 % interval."""
    p_value: float
    """How often chance alone turns the order round, two-sided; small where the models are told apart."""


def paired_difference(
    metric: Metric, ours: Sequence[Examples], theirs: Sequence[Examples], units: Units, *, num_resamples: int, seed: int
) -> Difference:
    """Ours less theirs, by the paired bootstrap: each resample holds the same units of both.

    Both are trainings that differ in the seed, equally many: their values are averaged, on all records and in each
    resample.

    Source: Koehn 2004, Statistical Significance Tests for Machine Translation Evaluation.
    """
    sums = [_sum_by_unit(metric.statistics(examples), units) for examples in (*ours, *theirs)]
    # Each has its own width: a metric of labels has a sum for each label that it has met.
    starts = np.cumsum([one.shape[1] for one in sums])[:-1]
    drawn = np.split(_resampled_sums(np.hstack(sums), num_resamples=num_resamples, seed=seed), starts, axis=1)
    differences = _mean(metric, drawn[: len(ours)]) - _mean(metric, drawn[len(ours) :])
    totals = [one.sum(axis=0) for one in sums]
    value = float(_mean(metric, totals[: len(ours)]) - _mean(metric, totals[len(ours) :]))
    low, high = np.percentile(differences, BOUNDS)
    turned = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return Difference(value, float(low), float(high), min(1.0, 2 * (turned + 1) / (num_resamples + 1)))


def _mean(metric: Metric, sums: Sequence[Floats]) -> Floats:
    return np.mean([metric.value(one) for one in sums], axis=0)
