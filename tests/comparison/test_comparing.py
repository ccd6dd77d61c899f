from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lmlab.comparison.comparing import best_on_validation, compare
from lmlab.comparison.pages import Comparison
from lmlab.comparison.rows import Evaluated
from lmlab.errors import InputError
from tests.comparison.runs import evaluated, record


class KeptReports:
    """Reports of runs by id, and nothing else."""

    def __init__(self, runs: Sequence[Evaluated]) -> None:
        self._reports = {one.run.run_id: one.evaluation for one in runs}
        self._files: dict[tuple[str, str], Path] = {}
        self._curves: dict[tuple[str, str], list] = {}

    def evaluation(self, run_id: str) -> Any:
        return self._reports.get(run_id)

    def fetch(self, run_id: str, name: str) -> Path | None:
        return self._files.get((run_id, name))

    def curve(self, run_id: str, key: str) -> list[tuple[int, float]]:
        return self._curves.get((run_id, key), [])

    def error_line(self, run_id: str) -> str:
        return f"error of {run_id}"


def _compare(
    runs: Sequence[Evaluated], *unfinished: Any, is_chosen: bool = False, metric: str | None = None
) -> Comparison:
    artifacts: Any = KeptReports(runs)
    return compare([*(one.run for one in runs), *unfinished], artifacts, metric=metric, is_chosen=is_chosen)


def _validated(
    name: str, test: float, validation: float, *, model: str = "lstm", seed: str = "1", tokens: str = "50"
) -> Evaluated:
    """A run that reached these bits per byte on the test and on the validation split."""
    metrics = {"training/validation_bits_per_byte": validation}
    return evaluated(name, test, metrics=metrics, model_name=model, seed=seed, training_validation_tokens=tokens)


# On the test split the LSTM is the best; on validation the GRU, in the mean over its seeds.
VALIDATED = [
    _validated("a", 1.0, 2.0, model="lstm"),
    _validated("b", 3.0, 1.5, model="gru"),
    _validated("c", 3.0, 2.1, model="gru", seed="2"),
]


def test_the_best_on_validation_is_chosen_without_a_look_at_the_test_split() -> None:
    artifacts: Any = KeptReports(VALIDATED)
    best = best_on_validation([one.run for one in VALIDATED], artifacts)
    assert (best.name, best.value, len(best.runs)) == ("gru", pytest.approx(1.8), 2)
    assert _compare(VALIDATED).sections[0].rows[0].name == "lstm"


def test_without_the_figure_of_every_run_none_is_the_best_on_validation() -> None:
    runs = [*VALIDATED, evaluated("d", 1.0, model_name="transformer")]
    artifacts: Any = KeptReports(runs)
    with pytest.raises(InputError, match=r"not known, for 1 of 4 runs without validation_bits_per_byte \(d\): name a"):
        best_on_validation([one.run for one in runs], artifacts)


def test_runs_that_validated_on_more_text_are_not_ranked_with_the_others() -> None:
    runs = [_validated(name, 1.0, 2.0, tokens=name) for name in ("50", "90")]
    artifacts: Any = KeptReports(runs)
    with pytest.raises(InputError, match=r"they have another number of validation tokens \(50 and 90\)"):
        best_on_validation([one.run for one in runs], artifacts)


def test_runs_are_ranked_by_validation_when_asked_and_the_page_says_so() -> None:
    [section] = _compare(VALIDATED, metric="validation_bits_per_byte").sections
    assert section.title == "language modeling on a source, validation split"
    assert [(row.name, row.value) for row in section.rows] == [("gru", pytest.approx(1.8)), ("lstm", 2.0)]
    assert "Validation bits per byte on the validation split" in section.plots["ranking.svg"]
    assert section.verdict.startswith("The best two are not tested")


def _of_code(one: Evaluated, code: str) -> Evaluated:
    return one._replace(run=one.run._replace(tags={"lmlab.code_digest": code}))


def test_rows_of_other_code_are_noted() -> None:
    [note] = _compare(
        [_of_code(evaluated("a", 1.0, model_name="gru"), "c1"), _of_code(evaluated("b", 2.0, model_name="lstm"), "c2")]
    ).notes
    assert note.startswith(
        "the rows of language modeling on a source, 3 test records differ in more than their settings:"
    )
    assert note.endswith(": code #c1 (gru), #c2 (lstm)")


def test_numbers_of_other_targets_stand_in_sections_of_their_own() -> None:
    runs = [
        evaluated(name, 1.0, task_target=target, model_name=model)
        for target in ("{source}", "{target}")
        for name, model in (("a", "gru"), ("b", "lstm"))
    ]
    assert [len(section.rows) for section in _compare(runs).sections] == [2, 2]


STATES = ("FAILED", "KILLED", "RUNNING")


def test_every_chosen_run_that_did_not_finish_is_listed() -> None:
    unfinished = [record(state, state=state) for state in STATES]
    failures = _compare([evaluated("a", 1.0)], *unfinished, is_chosen=True).failures
    assert [(failure.state, failure.error.partition(";")[0]) for failure in failures] == [
        ("FAILED", "error of id of FAILED"),
        ("KILLED", "interrupted"),
        ("RUNNING", "still at work, or its machine went down"),
    ]


def test_of_a_whole_store_unfinished_runs_are_counted() -> None:
    comparison = _compare([evaluated("a", 1.0)], *(record(state, state=state) for state in STATES))
    assert comparison.failures == []
    assert comparison.notes == ["not shown: 3 runs without an end; --sweep, --where and --runs say why"]


def test_chosen_runs_without_an_end_are_told_from_an_empty_store() -> None:
    with pytest.raises(InputError, match=r"none of the chosen runs .* \(1 FAILED, 1 KILLED, 1 RUNNING\)"):
        _compare([], *(record(state, state=state) for state in STATES), is_chosen=True)
    with pytest.raises(InputError, match="there is no finished run to compare"):
        _compare([], is_chosen=True)
