"""A test of whether the best two are told apart, on the same test records."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lmlab.comparison.rows import Row
from lmlab.errors import InputError
from lmlab.evaluation.intervals import Difference, paired_difference, resampling_units
from lmlab.evaluation.metric import Examples, Metric
from lmlab.evaluation.metrics import METRICS
from lmlab.evaluation.predictions import Predictions, read_predictions
from lmlab.evaluation.settings import BootstrapSettings
from lmlab.results import FEWEST_UNITS
from lmlab.tracking.reading import parsed

SIGNIFICANT = 0.05

FindPredictions = Callable[[str], Path | None]
"""The file of predictions of the run with an id; None if it keeps none."""


class Verdict(NamedTuple):
    """How the best two differ over the seeds that both have."""

    best: str
    second: str
    seeds: list[str]
    difference: Difference
    is_right_way: bool
    """Whether the one that is ranked first is the better one over these seeds, too."""

    @property
    def is_beyond_noise(self) -> bool:
        """Whether chance alone would rarely turn the order round."""
        return self.is_right_way and self.difference.p_value < SIGNIFICANT

    def sentence(self, label: str, places: int) -> str:
        """The verdict in words."""
        value, low, high, p_value = self.difference
        told = "better beyond the noise of the test records" if self.is_beyond_noise else "not told apart"
        if not self.is_right_way and value != 0:
            told += ", for over the seeds that both have the order is the other way round"
        over = f"the mean over seeds {', '.join(self.seeds)}" if len(self.seeds) > 1 else f"seed {self.seeds[0]}"
        return (
            f"{self.best} against {self.second}: {told}. Difference in {label} {value:+.{places}f}, 95 % interval "
            f"{low:+.{places}f} to {high:+.{places}f}, p = {p_value:.3f} by the paired bootstrap, of {over}."
        )


class Side(NamedTuple):
    """One of two that are compared."""

    name: str
    runs: Mapping[str, str]
    """The ids of its runs by their seeds."""


def compare_best(rows: list[Row], metric: str, find_predictions: FindPredictions) -> Verdict:
    """The paired bootstrap of the best two rows.

    Raises: as `compare_sides`.
    """
    best, second = (Side(row.name, {one.run.seed: one.run.run_id for one in row.runs}) for row in rows[:2])
    params = rows[0].runs[0].run.params
    measured = METRICS.get(metric).build(language=parsed(params.get("task.language", "null")))
    bootstrap = BootstrapSettings(
        num_resamples=int(params.get("evaluation.bootstrap.num_resamples", 1000)),
        seed=int(params.get("evaluation.bootstrap.seed", 0)),
        min_documents=int(params.get("evaluation.bootstrap.min_documents", 1)),
    )
    return compare_sides(best, second, measured, bootstrap, find_predictions)


def compare_sides(
    best: Side, second: Side, metric: Metric, bootstrap: BootstrapSettings, find_predictions: FindPredictions
) -> Verdict:
    """The paired bootstrap of two, over the seeds that both have.

    Raises: InputError if they share no seed, predictions are missing or were measured against something else, or there
    are too few.
    """
    seeds = [seed for seed in best.runs if seed in second.runs]
    if not seeds:
        raise InputError(f"{best.name} and {second.name}: they have no seed in common, so the best two are not tested")
    ours, theirs = (_predictions(side, seeds, find_predictions) for side in (best, second))
    for one in (*ours, *theirs):
        _check_measured_alike(ours[0], one, what=f"{best.name} and {second.name}")
    units = resampling_units(ours[0].documents, min_documents=bootstrap.min_documents)
    if units.total < FEWEST_UNITS:
        raise InputError(
            f"{best.name} and {second.name}: {units.total} {units.kind} in the test split are too few to tell "
            f"them apart ({FEWEST_UNITS} at least), so the best two are not tested"
        )
    difference = paired_difference(
        metric,
        [one.examples for one in ours],
        [one.examples for one in theirs],
        units,
        num_resamples=bootstrap.num_resamples,
        seed=bootstrap.seed,
    )
    is_right_way = difference.value < 0 if metric.better == "lower" else difference.value > 0
    return Verdict(best.name, second.name, seeds, difference, is_right_way)


def _predictions(side: Side, seeds: Sequence[str], find_predictions: FindPredictions) -> list[Predictions]:
    """What the side's runs with these seeds answered, in the seeds' order."""
    paths = [find_predictions(side.runs[seed]) for seed in seeds]
    if None in paths:
        raise InputError(f"{side.name}: its run keeps no predictions, so the best two are not tested")
    return [read_predictions(path) for path in paths if path is not None]


def _check_measured_alike(first: Predictions, other: Predictions, *, what: str) -> None:
    if first.ids != other.ids:
        raise InputError(f"{what}: their predictions tell of other records")
    if not np.array_equal(first.examples.bytes, other.examples.bytes):
        raise InputError(f"{what}: their predictions were measured against other targets")
    if _references(first.examples) != _references(other.examples):
        raise InputError(f"{what}: their predictions were measured against other right answers")


def _references(examples: Examples) -> list[list[str]]:
    return [] if examples.answers is None else [list(one) for one in examples.answers.references]
