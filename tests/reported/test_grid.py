"""Reported results side by side, and the page that tells of them."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from lmlab.data.task import TaskSettings
from lmlab.evaluation.metric import Examples
from lmlab.evaluation.predictions import Predictions, write_predictions
from lmlab.evaluation.settings import BootstrapSettings
from lmlab.reported.grid import NOT_KEPT, Contest, Pairing, Rival, contests_of, fill_grid, grid_of
from pipelines.compose import compose
from pipelines.findings import PAGE, compare_rivals, find_contests
from pipelines.settings import validate_params
from tests.laws.imports import PROJECT
from tests.reported.results import METRIC, result

BITS = {"lstm": np.full(5, 2.1), "gru": np.full(5, 2.0)}
NOISE = np.random.default_rng(0).normal(0, 0.5, 200)


@pytest.fixture(scope="module")
def settings() -> tuple[TaskSettings, BootstrapSettings]:
    found = validate_params(compose([]))
    return found["task"], found["evaluation"].bootstrap


def _rival(
    folder: Path, settings: tuple[TaskSettings, BootstrapSettings], model: str, bits: np.ndarray, **changes: object
) -> Rival:
    """A result whose records need so many bits a byte."""
    mean = float(bits.mean())
    metrics = {"bits_per_byte": {**METRIC, "value": mean, "by_seed": [mean], "mean": mean, "deviation": None}}
    overrides = ["experiment=docs", f"model={model}", f"training.max_steps={len(model)}"]
    ones = np.ones(len(bits))
    examples = Examples(nats=bits * np.log(2), tokens=ones, bytes=ones, correct=ones, answers=None)
    path = folder / f"{model}.parquet"
    write_predictions(path, Predictions(examples, [str(number) for number in range(len(bits))], np.arange(len(bits))))
    values = {"metrics": metrics, "overrides": overrides, "model": model, **changes}
    return Rival(result(**values), path, *settings)


def _contests(rivals: Iterable[Rival]) -> list[Contest]:
    return contests_of(rivals, compare_rivals)


def _means(*by_seed: float) -> dict[str, dict]:
    """The metric of a result whose seeds reached this."""
    mean = sum(by_seed) / len(by_seed)
    values = {"value": by_seed[0], "by_seed": list(by_seed), "mean": mean, "deviation": 0.1}
    return {"bits_per_byte": {**METRIC, **values}}


def test_the_best_comes_first_and_is_told_apart_by_the_paired_bootstrap(
    tmp_path: Path, settings: tuple[TaskSettings, BootstrapSettings]
) -> None:
    # Each record is as hard for one model as for the other: the difference is far clearer than either's interval.
    bits = {"lstm": 2.0 + NOISE, "gru": 2.1 + NOISE, "transformer": 1.9 + NOISE + 0.1 * NOISE[::-1]}
    (contest,) = _contests(_rival(tmp_path, settings, model, one) for model, one in bits.items())
    assert contest.settings == "experiment=docs"
    assert [rival.result.model for rival in contest.rivals] == ["transformer", "lstm", "gru"]
    assert isinstance(contest.pairing, Pairing)
    assert contest.pairing.difference.value == pytest.approx((bits["transformer"] - bits["lstm"]).mean())
    assert contest.pairing.difference.high < 0
    row = grid_of([contest]).splitlines()[2]
    assert row.startswith("| `experiment=docs` | bits per byte, lower is better | transformer 1.9")
    assert ", 12 s |" in row
    assert "not told apart" not in row


def test_what_chance_could_have_done_is_said_so(
    tmp_path: Path, settings: tuple[TaskSettings, BootstrapSettings]
) -> None:
    bits = {"lstm": 2.0 + NOISE, "gru": 2.0 + NOISE[::-1] + 0.001}
    text = grid_of(_contests(_rival(tmp_path, settings, model, one) for model, one in bits.items()))
    assert ": not told apart |" in text


def test_without_predictions_results_are_ranked_and_not_compared(
    tmp_path: Path, settings: tuple[TaskSettings, BootstrapSettings]
) -> None:
    digests = {**result().digests.model_dump(), "predictions": None}
    lstm, gru = (_rival(tmp_path, settings, model, bits, digests=digests) for model, bits in BITS.items())
    (contest,) = _contests([lstm, gru])
    assert contest.pairing == NOT_KEPT
    assert [rival.result.model for rival in contest.rivals] == ["gru", "lstm"]
    assert grid_of([contest]).endswith("| predictions not kept |  |")


def test_the_best_in_the_mean_is_not_told_apart_where_its_tested_seed_is_worse(
    tmp_path: Path, settings: tuple[TaskSettings, BootstrapSettings]
) -> None:
    rivals = [
        _rival(tmp_path, settings, "lstm", 2.0 + NOISE, metrics=_means(2.0, 2.4)),
        _rival(tmp_path, settings, "gru", 2.1 + NOISE, metrics=_means(2.1, 2.1)),
    ]
    (contest,) = _contests(rivals)
    assert [rival.result.model for rival in contest.rivals] == ["gru", "lstm"]
    assert isinstance(contest.pairing, Pairing)
    assert contest.pairing.difference.p_value < 0.05
    assert ": not told apart, for there the order is the other way round |" in grid_of([contest])


def test_too_few_records_and_other_seeds_are_not_tested(
    tmp_path: Path, settings: tuple[TaskSettings, BootstrapSettings]
) -> None:
    (few,) = _contests(_rival(tmp_path, settings, model, bits) for model, bits in BITS.items())
    assert "not tested: gru and lstm: 5 records in the test split are too few" in grid_of([few])
    seeds = {"lstm": [1], "gru": [2]}
    (other,) = _contests(
        _rival(tmp_path, settings, model, 2 + NOISE, seeds=own, metrics=_means(2.0)) for model, own in seeds.items()
    )
    assert "they have no seed in common" in grid_of([other])


def test_a_result_with_another_training_is_a_rival(
    tmp_path: Path, settings: tuple[TaskSettings, BootstrapSettings]
) -> None:
    own = {"lstm": "training=lstm", "gru": "training/optimizer=adamw"}
    (contest,) = _contests(
        _rival(tmp_path, settings, model, 2 + NOISE, overrides=["experiment=docs", f"model={model}", word])
        for model, word in own.items()
    )
    assert contest.settings == "experiment=docs"


def test_results_of_other_settings_or_records_do_not_meet(
    tmp_path: Path, settings: tuple[TaskSettings, BootstrapSettings]
) -> None:
    digests = {**result().digests.model_dump(), "test_records": "o" * 64}
    rivals = [
        _rival(tmp_path, settings, "lstm", 2 + NOISE),
        _rival(tmp_path, settings, "gru", 2 + NOISE, digests=digests),
        _rival(tmp_path, settings, "transformer", 2 + NOISE, overrides=["experiment=other", "model=transformer"]),
    ]
    assert _contests(rivals) == []


def test_the_page_of_findings_shows_what_the_result_files_give() -> None:
    page = (PROJECT / PAGE).read_text(encoding="utf-8")
    assert "<!-- grid -->" in page
    assert fill_grid(page, find_contests(PROJECT)) == page
