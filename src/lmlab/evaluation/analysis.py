"""Where the errors are: by length, by pair of labels, by how sure the model was, and the best and worst records."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lmlab.evaluation.metric import Examples, Floats, Metric


class LengthScore(NamedTuple):
    """The metric over the records that are from `shortest` to `longest` long."""

    shortest: int
    longest: int
    records: int
    value: float


class ConfusedPair(NamedTuple):
    """How often `answer` was given where `target` was right; `share` is of all records with this target."""

    target: str
    answer: str
    count: int  # pyright: ignore[reportIncompatibleMethodOverride] -- the report's key; tuple.count is not used
    share: float


class ReliabilityBin(NamedTuple):
    """The answers whose probability is above `low` and at most `high`: its mean, and the share that is right."""

    low: float
    high: float
    records: int
    confidence: float
    accuracy: float


class Extremes(NamedTuple):
    """Numbers of records, the best of all first and the worst of all first."""

    best: list[int]
    worst: list[int]


def record_scores(metric: Metric, examples: Examples) -> Floats:
    """The metric of each record alone; NaN or infinite where a record alone has none, as bits per byte of no bytes."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(metric.value(metric.statistics(examples)), dtype=np.float64)


def score_by_length(metric: Metric, examples: Examples, lengths: ArrayLike, *, num_buckets: int) -> list[LengthScore]:
    """The metric in groups of about equally many records, short ones first; equal lengths stay together.

    A group on which the metric has no value is left out.
    """
    sizes = np.asarray(lengths)
    if len(sizes) == 0:
        return []
    statistics = metric.statistics(examples)
    bounds = np.unique(np.quantile(sizes, np.linspace(0, 1, num_buckets + 1)[1:-1], method="lower"))
    buckets = np.searchsorted(bounds, sizes, side="left")
    scores = []
    for bucket in np.unique(buckets):
        members = buckets == bucket
        with np.errstate(divide="ignore", invalid="ignore"):
            value = float(metric.value(statistics[members].sum(axis=0)))
        if np.isfinite(value):
            size = sizes[members]
            scores.append(LengthScore(int(size.min()), int(size.max()), len(size), value))
    return scores


def confusion_matrix(targets: Sequence[str], answers: Sequence[str], labels: Sequence[str]) -> NDArray[np.int64]:
    """How often each label was answered (columns) where each label was right (rows), in the order of the labels.

    Raises: ValueError if a target or an answer is none of the labels.
    """
    numbers = {label: number for number, label in enumerate(labels)}
    matrix = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for target, answer in zip(targets, answers, strict=True):
        if target not in numbers or answer not in numbers:
            raise ValueError(f"{target if target not in numbers else answer!r} is none of the {len(labels)} labels")
        matrix[numbers[target], numbers[answer]] += 1
    return matrix


def most_confused(matrix: NDArray[np.int64], labels: Sequence[str], *, limit: int) -> list[ConfusedPair]:
    """The pairs of target and wrong answer that occur, most frequent first; ties in the order of the labels."""
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    pairs = [(int(number) // len(labels), int(number) % len(labels)) for number in order]
    totals = matrix.sum(axis=1)
    return [
        ConfusedPair(labels[target], labels[answer], int(count), float(count / totals[target]))
        for target, answer in pairs
        if (count := wrong[target, answer]) > 0
    ]


def reliability(confidence: ArrayLike, is_right: ArrayLike, *, num_bins: int) -> list[ReliabilityBin]:
    """The answers in bins of equal width from probability 0 to 1, low ones first; empty bins are left out."""
    probability, right = np.asarray(confidence, dtype=np.float64), np.asarray(is_right, dtype=np.float64)
    bounds = np.arange(num_bins + 1) / num_bins
    # A probability on a bound belongs to the bin below it; sums that come out just above 1 to the last.
    numbers = np.clip(np.searchsorted(bounds, probability, side="left") - 1, 0, num_bins - 1)
    return [
        ReliabilityBin(
            float(bounds[number]),
            float(bounds[number + 1]),
            int((numbers == number).sum()),
            float(probability[numbers == number].mean()),
            float(right[numbers == number].mean()),
        )
        for number in map(int, np.unique(numbers))
    ]


def extreme_records(
    record_scores: ArrayLike, nats_per_token: ArrayLike, *, count: int, better: Literal["higher", "lower"]
) -> Extremes:
    """The best and the worst `count` records by their own score.

    No record is in both, and none without a finite score is in either. Among equal scores the likelier target is
    the better record, and then the earlier one comes first. Where there are fewer than twice `count` records,
    the best are half of them, rounded up.
    """
    scores, nats = np.asarray(record_scores, dtype=np.float64), np.asarray(nats_per_token, dtype=np.float64)
    places = np.flatnonzero(np.isfinite(scores))
    losses = -scores[places] if better == "higher" else scores[places]
    from_best = places[np.lexsort((places, nats[places], losses))].tolist()
    from_worst = places[np.lexsort((places, -nats[places], -losses))].tolist()
    best = from_best[: min(count, (len(places) + 1) // 2)]
    return Extremes(best, [place for place in from_worst if place not in best][:count])
