"""What a search found, as files for people: history, importances or the front of several objectives, trials, best."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lmlab.charts import Bar, Dot, Line, Point, bar_chart, line_chart, scatter_chart
from lmlab.errors import InputError
from lmlab.files import whole_file
from lmlab.search.settings import SearchSettings
from lmlab.search.study import ERROR, as_overrides, ended_trials, is_complete

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

# Importances of fewer trials say nothing.
LEAST_TRIALS = 4


def write_pages(folder: Path, study: "Study", settings: SearchSettings, fixed: Sequence[str]) -> str:
    """Write the files; the best trials in a few lines.

    Raises: InputError if no trial has completed.
    """
    ended = ended_trials(study)
    complete = [trial for trial in ended if is_complete(trial)]
    _write(folder / "trials.csv", trials_text(ended, settings))
    if not complete:
        raise InputError(f"no trial of the search has completed: what went wrong stands in {folder / 'trials.csv'}")
    objectives = list(settings.objectives)
    for place, name in enumerate(objectives):
        _write(folder / f"history_{name}.svg", _history(complete, place, name, settings.objectives[name]))
    if len(objectives) > 1:
        _write(folder / "pareto.svg", _front(study, complete, objectives))
    _write_importances(folder, study, complete, objectives)
    best = sorted(study.best_trials, key=lambda trial: trial.number)
    text = "\n".join(_best_text(trial, settings, fixed) for trial in best)
    _write(folder / "best.md", f"# Best {'trial' if len(best) == 1 else 'trials'}\n\n{text}\n")
    return text


def trials_text(trials: "Sequence[FrozenTrial]", settings: SearchSettings) -> str:
    """Every ended trial as a row of CSV: number, state, values, parameters, error."""
    keys = sorted({key for trial in trials for key in trial.params})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", *settings.objectives, *keys, "error"])
    for trial in trials:
        values = trial.values if is_complete(trial) else [""] * len(settings.objectives)
        parameters = [trial.params.get(key, "") for key in keys]
        writer.writerow([trial.number, trial.state.name.lower(), *values, *parameters, trial.user_attrs.get(ERROR, "")])
    return text.getvalue()


def _history(trials: "Sequence[FrozenTrial]", place: int, name: str, direction: str) -> str:
    better = min if direction == "minimize" else max
    values = [trial.values[place] for trial in trials]
    best = [better(values[: number + 1]) for number in range(len(values))]
    return line_chart(
        [
            Line("trial", [Point(number, value) for number, value in enumerate(values, 1)]),
            Line("best so far", [Point(number, value) for number, value in enumerate(best, 1)]),
        ],
        title="History of the search",
        x_label="completed trial",
        y_label=name.replace("_", " "),
        markers=True,
    )


def _front(study: "Study", trials: "Sequence[FrozenTrial]", objectives: Sequence[str]) -> str:
    best = {trial.number for trial in study.best_trials}
    dots = [
        Dot(f"trial {trial.number}" if trial.number in best else "", trial.values[1], trial.values[0])
        for trial in trials
    ]
    return scatter_chart(
        dots,
        title="Trials; those with a number are beaten by none in every objective",
        x_label=objectives[1].replace("_", " "),
        y_label=objectives[0].replace("_", " "),
    )


def _write_importances(
    folder: Path, study: "Study", trials: "Sequence[FrozenTrial]", objectives: Sequence[str]
) -> None:
    from optuna.importance import MeanDecreaseImpurityImportanceEvaluator, get_param_importances

    for place, name in enumerate(objectives):
        if len(trials) < LEAST_TRIALS or len({trial.values[place] for trial in trials}) == 1:
            continue
        evaluator = MeanDecreaseImpurityImportanceEvaluator(seed=0)
        found = get_param_importances(study, evaluator=evaluator, target=lambda trial, place=place: trial.values[place])
        bars = [Bar(key, value, is_main=True) for key, value in found.items()]
        svg = bar_chart(bars, title=f"What {name.replace('_', ' ')} hangs on", x_label="share of the importance")
        _write(folder / f"importances_{name}.svg", svg)


def _best_text(trial: "FrozenTrial", settings: SearchSettings, fixed: Sequence[str]) -> str:
    values = ", ".join(f"{name} {value:.6g}" for name, value in zip(settings.objectives, trial.values, strict=True))
    words = " ".join([*fixed, *as_overrides(trial.params)])
    return f"best: trial {trial.number}, {values}: {words}"


def _write(path: Path, text: str) -> None:
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
