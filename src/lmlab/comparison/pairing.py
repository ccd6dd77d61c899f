"""A test of whether the best two are told apart, on the same test records."""

from pathlib import Path
from typing import NamedTuple

from lmlab.comparison.rows import Row
from lmlab.errors import InputError
from lmlab.evaluation.intervals import Difference, paired_difference, resampling_units
from lmlab.evaluation.metrics import METRICS
from lmlab.evaluation.predictions import read_predictions
from lmlab.tracking.reading import parsed

SIGNIFICANT = 0.05


class Verdict(NamedTuple):
    """How the best two rows differ."""

    best: str
    second: str
    difference: Difference

    @property
    def is_beyond_noise(self) -> bool:
        """Whether chance alone would rarely turn the order round."""
        return self.difference.p_value < SIGNIFICANT

    def sentence(self, label: str, places: int) -> str:
        """The verdict in words."""
        value, low, high, p_value = self.difference
        told = "better beyond the noise of the test records" if self.is_beyond_noise else "not told apart"
        return (
            f"{self.best} against {self.second}: {told}. Difference in {label} {value:+.{places}f}, 95 % interval "
            f"{low:+.{places}f} to {high:+.{places}f}, p = {p_value:.3f} by the paired bootstrap, of one seed each."
        )


def compare_best(rows: list[Row], metric: str, files: tuple[Path | None, Path | None]) -> Verdict:
    """The paired bootstrap of the best two rows' first seeds, from their predictions.

    Raises: InputError if predictions are missing or tell of other records.
    """
    best, second = rows[:2]
    for row, path in zip((best, second), files, strict=True):
        if path is None:
            raise InputError(f"{row.name}: its run keeps no predictions, so the best two are not tested")
    ours, theirs = (read_predictions(path) for path in files if path is not None)
    if ours.ids != theirs.ids:
        raise InputError(f"{best.name} and {second.name}: their predictions tell of other records")
    params = best.runs[0].run.params
    language = parsed(params.get("task.language", "null"))
    units = resampling_units(ours.documents, min_documents=int(params.get("evaluation.bootstrap.min_documents", 1)))
    difference = paired_difference(
        METRICS.get(metric).build(language=language),
        ours.examples,
        theirs.examples,
        units,
        num_resamples=int(params.get("evaluation.bootstrap.num_resamples", 1000)),
        seed=int(params.get("evaluation.bootstrap.seed", 0)),
    )
    return Verdict(best.name, second.name, difference)
