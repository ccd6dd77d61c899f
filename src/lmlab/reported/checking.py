"""Does a reported result hold? Numbers that were found again beside those that were reported."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lmlab.data.task import TaskSettings
from lmlab.errors import InputError
from lmlab.evaluation.intervals import Estimate, estimates, resampling_units
from lmlab.evaluation.metrics import METRICS
from lmlab.evaluation.predictions import read_predictions
from lmlab.evaluation.settings import BootstrapSettings
from lmlab.files import file_digest
from lmlab.reported.result import LEAST_SHARE, ReportedResult, is_sealed
from lmlab.results import PREFIX

# The last digits of an exponential or a logarithm differ between processors.
SAME_SHARE = 1e-9
# The same weights on the same data: sums round otherwise with other instructions or threads.
EVALUATED_SHARE = 1e-4


class Check(NamedTuple):
    """One thing that was looked at again; texts where it is no number."""

    result: str
    level: str
    what: str
    expected: float | str
    got: float | str
    tolerance: float | None
    """None where equality is asked."""

    @property
    def holds(self) -> bool:
        """Whether what was found is what was reported."""
        if isinstance(self.expected, str) or isinstance(self.got, str) or self.tolerance is None:
            return self.expected == self.got
        return math.isfinite(self.got) and abs(self.got - self.expected) <= self.tolerance


def check_file(path: Path, result: ReportedResult) -> Check:
    """Whether the file is as the command wrote it."""
    found = "as recorded" if is_sealed(path) else "changed by hand: record it again"
    return Check(result.name, "score", path.name, "as recorded", found, None)


def check_scores(
    result: ReportedResult, predictions: Path, task: TaskSettings, bootstrap: BootstrapSettings
) -> Iterator[Check]:
    """The kept predictions scored again: every value and bound, exactly; nothing where none are kept."""
    if result.digests.predictions is None:
        return
    if not predictions.is_file():
        raise InputError(f"{predictions} does not exist: record the result again with `python -m pipelines.record`")
    yield Check(
        result.name, "score", "predictions", result.digests.predictions[:12], file_digest(predictions)[:12], None
    )
    found = score_again(predictions, task, bootstrap)
    for name, reported in result.metrics.items():
        estimate = found.get(name)
        if estimate is None:
            yield Check(result.name, "score", name, reported.value, "no longer a metric of the task", None)
            continue
        expected = Estimate(reported.value, reported.low or 0.0, reported.high or 0.0)
        for field in Estimate._fields:
            what = name if field == "value" else f"{name}_{field}"
            wanted = getattr(expected, field)
            yield Check(result.name, "score", what, wanted, getattr(estimate, field), SAME_SHARE * abs(wanted))


def score_again(predictions: Path, task: TaskSettings, bootstrap: BootstrapSettings) -> dict[str, Estimate]:
    """Every metric of the task with its interval, from the predictions alone."""
    read = read_predictions(predictions)
    metrics = {name: METRICS.get(name).build(language=task.language) for name in task.metrics}
    units = resampling_units(read.documents, min_documents=bootstrap.min_documents)
    return estimates(metrics, read.examples, units, num_resamples=bootstrap.num_resamples, seed=bootstrap.seed)


def check_evaluation(
    result: ReportedResult, evaluation: Mapping[str, Any], *, level: str, has_same_weights: bool
) -> Iterator[Check]:
    """An evaluation made again: close where the weights are the reported ones, else within the file's tolerance."""
    digest = evaluation["details"]["test_digest"]
    yield Check(result.name, level, "test records", result.digests.test_records[:12], digest[:12], None)
    for name, reported in result.metrics.items():
        tolerance = EVALUATED_SHARE * abs(reported.value) if has_same_weights else reported.tolerance
        yield Check(result.name, level, name, reported.value, evaluation.get(name, "missing"), tolerance)


def check_training(
    result: ReportedResult, training: Mapping[str, Any], evaluation: Mapping[str, Any]
) -> Iterator[Check]:
    """What a training made again has to have in common with the reported one, and the baselines beside it."""
    found = str(evaluation["details"]["tokenizer_digest"])
    yield Check(result.name, "train", "tokenizer", result.digests.tokenizer[:12], found[:12], None)
    for what, expected, key in (
        ("parameters", result.parameters, "parameters"),
        ("steps", result.steps, "steps"),
        ("training tokens", result.training_tokens, "tokens"),
    ):
        yield Check(result.name, "train", what, expected, training.get(key, "missing"), None)
    for name, baseline in result.baselines.items():
        for metric, reported in baseline.metrics.items():
            key = f"{PREFIX}{name}/{metric}"
            tolerance = LEAST_SHARE * abs(reported.value)
            yield Check(result.name, "train", key, reported.value, evaluation.get(key, "missing"), tolerance)
