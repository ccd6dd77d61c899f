"""From the store's runs to a comparison."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from lmlab.comparison.origins import origins_text
from lmlab.comparison.pages import Comparison, Failure, Section
from lmlab.comparison.pairing import compare_best
from lmlab.comparison.plots import Curve, plots_of
from lmlab.comparison.rows import VALIDATION, Evaluated, Row, basis_of, may_be_compared, rows_of, with_validation
from lmlab.errors import InputError
from lmlab.text import canonical_json, counted
from lmlab.tracking.reading import Artifacts, RunRecord

FINISHED = "FINISHED"
PREDICTIONS = "predictions.parquet"
TOKENS = "tokens"
NAMED = 5


def compare(runs: Sequence[RunRecord], artifacts: Artifacts, *, metric: str | None, is_chosen: bool) -> Comparison:
    """The comparison of these runs: in one section if a person chose them, else in one for each basis of comparison.

    Raises: InputError if there is nothing to compare, or chosen runs cannot be ranked.
    """
    evaluated, notes = _evaluated(runs, artifacts)
    if not evaluated:
        raise InputError(_nothing(runs, is_chosen=is_chosen))
    groups = [evaluated] if is_chosen else _groups(evaluated, metric)
    if not groups:
        raise InputError(f"--metric {metric}: no finished run has the metric {metric}")
    sections = [_section(group, artifacts, metric) for group in groups]
    if not is_chosen:
        alone = [section.title for section in sections if len(section.rows) < 2]
        if len(alone) < len(sections):
            sections = [section for section in sections if len(section.rows) > 1]
            notes += [f"left out, with nothing to compare with: {', '.join(alone)}"] if alone else []
    notes += [note for section in sections if (note := _origins_note(section))]
    failures = _failures(runs, artifacts)
    if failures and not is_chosen:
        # Every mistyped command of the project's life.
        notes.append(f"not shown: {counted(len(failures), 'run')} without an end; --sweep, --where and --runs say why")
        failures = []
    return Comparison(sections, failures, notes)


def best_on_validation(runs: Sequence[RunRecord], artifacts: Artifacts) -> Row:
    """The row with the fewest bits per byte on the validation split, in the mean over its seeds.

    Raises: InputError if none of the runs has an end that can be compared, one does not say what it reached on
    validation, or they cannot be ranked.
    """
    evaluated, _ = _evaluated(runs, artifacts)
    if not evaluated:
        raise InputError(_nothing(runs, is_chosen=True))
    if lacking := [one.run.name for one in evaluated if VALIDATION not in one.evaluation]:
        raise InputError(
            f"which is the best on validation is not known, for {len(lacking)} of {counted(len(evaluated), 'run')} "
            f"without {VALIDATION} ({_listed(lacking)}): name a run"
        )
    return rows_of(evaluated, VALIDATION)[0]


def _nothing(runs: Sequence[RunRecord], *, is_chosen: bool) -> str:
    if not is_chosen or not runs:
        return "there is no finished run to compare: train one with `python -m pipelines.run`"
    states = ", ".join(f"{number} {state}" for state, number in Counter(run.state for run in runs).items())
    return f"none of the chosen runs has an end that can be compared ({states}): choose others"


def _evaluated(runs: Sequence[RunRecord], artifacts: Artifacts) -> tuple[list[Evaluated], list[str]]:
    found, older = [], []
    for run in runs:
        evaluation = artifacts.evaluation(run.run_id) if run.state == FINISHED else None
        if evaluation is not None and may_be_compared(evaluation):
            found.append(Evaluated(run, with_validation(evaluation, run)))
        elif evaluation is not None:
            older.append(run.name)
    if not older:
        return found, []
    said = f"left out, for they do not say what they were measured on: {len(older)} older runs ({_listed(older)})"
    return found, [said]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def _groups(evaluated: Sequence[Evaluated], metric: str | None) -> list[list[Evaluated]]:
    groups: dict[str, list[Evaluated]] = {}
    for one in evaluated:
        if metric is None or metric in one.details["metrics"]:
            groups.setdefault(canonical_json(basis_of(one, metric or headline_of(one))), []).append(one)
    # The one with the newest run first.
    return sorted(groups.values(), key=lambda group: -group[-1].run.started)


def headline_of(one: Evaluated) -> str:
    """The first metric of the run's task."""
    return next(iter(one.details["metrics"]))


def _section(group: Sequence[Evaluated], artifacts: Artifacts, metric: str | None) -> Section:
    name = metric or headline_of(group[0])
    rows = rows_of(group, name)
    details: dict[str, Any] = dict(group[0].details)
    definition, params = details["metrics"][name], group[0].run.params
    curves = {row.runs[0].run.run_id: _curve(row.runs[0].run, artifacts) for row in rows}
    split = "validation" if name == VALIDATION else "test"
    size = "validation split" if name == VALIDATION else counted(details["records"], "test record")
    title = f"{details['task'].replace('_', ' ')} on {params.get('source.name', 'a source')}, {size}"
    plots = plots_of(rows, curves, label=definition["label"], split=split)
    section = Section(title, definition["label"], definition["better"], rows, "", plots)
    return section._replace(verdict=_verdict(section, name, artifacts))


def _origins_note(section: Section) -> str:
    text = origins_text([(row.name, row.runs[0].run) for row in section.rows])
    return f"the rows of {section.title} differ in more than their settings: {text}" if text else ""


def _verdict(section: Section, metric: str, artifacts: Artifacts) -> str:
    if len(section.rows) < 2:
        return ""
    if metric == VALIDATION:
        return "The best two are not tested: runs keep their predictions on the test split alone."
    try:
        verdict = compare_best(section.rows, metric, lambda run_id: artifacts.fetch(run_id, PREDICTIONS))
        return verdict.sentence(section.label, section.places)
    except InputError as error:
        return str(error)


def _curve(run: RunRecord, artifacts: Artifacts) -> Curve:
    tokens = dict(artifacts.curve(run.run_id, TOKENS))
    return [(tokens[step], value) for step, value in artifacts.curve(run.run_id, VALIDATION) if step in tokens]


def _failures(runs: Sequence[RunRecord], artifacts: Artifacts) -> list[Failure]:
    return [
        Failure(run.name, run.state, _error(run, artifacts) if run.state == "FAILED" else _why(run))
        for run in runs
        if run.state != FINISHED
    ]


def _error(run: RunRecord, artifacts: Artifacts) -> str:
    return artifacts.error_line(run.run_id).removeprefix(f"{InputError.__module__}.{InputError.__qualname__}: ")


def _why(run: RunRecord) -> str:
    if run.state == "RUNNING":
        return "still at work, or its machine went down; the same command goes on with it"
    return run.tags.get("lmlab.pruned", "interrupted; the same command goes on with it")
