import math
from pathlib import Path

import numpy as np
import pytest

from lmlab.config import validate
from lmlab.data.task import TaskSettings
from lmlab.errors import InputError
from lmlab.evaluation.metric import Examples
from lmlab.evaluation.predictions import Predictions, write_predictions
from lmlab.evaluation.settings import BootstrapSettings
from lmlab.files import file_digest
from lmlab.reported.checking import Check, check_evaluation, check_scores, check_training, score_again
from tests.evaluation.test_evaluate import TASK
from tests.reported.results import METRIC, RESULT, result

LIKELIHOOD = validate(TaskSettings, {**TASK, "metrics": ["bits_per_byte"]}, path="task")
BOOTSTRAP = validate(BootstrapSettings, {"num_resamples": 50, "seed": 0, "min_documents": 1}, path="bootstrap")


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    """Two documents, of 2 bits a byte and of 1."""
    nats = np.array([20.0, 30.0]) * math.log(2)
    counts = {"tokens": np.ones(2), "bytes": np.array([10.0, 30.0]), "correct": np.ones(2)}
    path = tmp_path / "predictions.parquet"
    write_predictions(path, Predictions(Examples(nats=nats, **counts, answers=None), ["a", "b"], np.array([0, 1])))
    return path


def test_predictions_are_scored_again_with_their_interval(predictions: Path) -> None:
    estimate = score_again(predictions, LIKELIHOOD, BOOTSTRAP)["bits_per_byte"]
    assert estimate.value == pytest.approx(50 / 40)
    # A resample holds one of the documents twice, or both.
    assert (estimate.low, estimate.high) == (pytest.approx(1.0), pytest.approx(2.0))


def test_kept_predictions_hold_to_the_last_digits(predictions: Path) -> None:
    metric = {**METRIC, "value": 1.25, "low": 1.0, "high": 2.0}
    digests = {**RESULT["digests"], "predictions": file_digest(predictions)}  # type: ignore[dict-item]
    good = result(metrics={"bits_per_byte": metric}, digests=digests)
    assert [check.holds for check in check_scores(good, predictions, LIKELIHOOD, BOOTSTRAP)] == [True] * 4
    bad = result(metrics={"bits_per_byte": {**metric, "high": 2.000001}}, digests=digests)
    missed = [check.what for check in check_scores(bad, predictions, LIKELIHOOD, BOOTSTRAP) if not check.holds]
    assert missed == ["bits_per_byte_high"]


def test_a_metric_that_the_task_no_longer_has_misses(predictions: Path) -> None:
    checks = check_scores(result(metrics={"bleu": METRIC}), predictions, LIKELIHOOD, BOOTSTRAP)
    assert [check.what for check in checks if not check.holds] == ["predictions", "bleu"]


def test_missing_predictions_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="record the result again"):
        list(check_scores(result(), tmp_path / "none.parquet", LIKELIHOOD, BOOTSTRAP))


@pytest.mark.parametrize(
    ("found", "has_same_weights", "holds"),
    [(1.5001, True, True), (1.51, True, False), (1.51, False, True), (1.79, False, False), (math.nan, False, False)],
)
def test_the_same_weights_are_held_to_less_than_others(found: float, has_same_weights: bool, holds: bool) -> None:
    evaluation = {"bits_per_byte": found, "details": {"test_digest": "r" * 64}}
    checks = list(check_evaluation(result(), evaluation, level="evaluate", has_same_weights=has_same_weights))
    assert [check.holds for check in checks] == [True, holds]


def test_other_test_records_miss() -> None:
    evaluation = {"bits_per_byte": 1.5, "details": {"test_digest": "s" * 64}}
    first, second = check_evaluation(result(), evaluation, level="train", has_same_weights=False)
    assert (first.what, first.holds, second.holds) == ("test records", False, True)


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({}, []),
        ({"tokenizer_digest": "u" * 64}, ["tokenizer"]),
        ({"parameters": 1_328_511}, ["parameters"]),
        ({"steps": 9}, ["steps"]),
        ({"tokens": 20_481}, ["training tokens"]),
        # Half a percent of 1.8 is 0.009.
        ({"baseline/xz/bits_per_byte": 1.808}, []),
        ({"baseline/xz/bits_per_byte": 1.82}, ["baseline/xz/bits_per_byte"]),
    ],
)
def test_a_training_made_again_has_the_reported_size_length_tokens_and_baselines(
    changes: dict, missed: list[str]
) -> None:
    training = {"parameters": 1_328_512, "steps": 10, "tokens": 20_480}
    baselines = {"baseline/xz/bits_per_byte": 1.8, "baseline/unigram/bits_per_byte": 2.9}
    found = {"tokenizer_digest": "t" * 64, **training, **baselines, **changes}
    evaluation = {**found, "details": {"tokenizer_digest": found["tokenizer_digest"]}}
    checks = list(check_training(result(), found, evaluation))
    assert len(checks) == 6
    assert [check.what for check in checks if not check.holds] == missed


def test_equality_is_asked_where_there_is_no_tolerance() -> None:
    assert Check("a", "score", "b", 1.0, 1.0, None).holds
    assert not Check("a", "score", "b", 1.0, 1.0000001, None).holds
