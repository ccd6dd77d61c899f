from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lmlab.comparison.comparing import compare
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


def _compare(runs: Sequence[Evaluated], *unfinished: Any, is_chosen: bool = False) -> Comparison:
    artifacts: Any = KeptReports(runs)
    return compare([*(one.run for one in runs), *unfinished], artifacts, metric=None, is_chosen=is_chosen)


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
