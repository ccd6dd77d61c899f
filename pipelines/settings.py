"""The door for settings: every section of params.yaml by its class, checked before any work is done."""

from collections.abc import Mapping
from typing import Any

from lmlab.config import PartSettings, Settings, validate
from lmlab.data.cleaning.settings import CleaningSettings
from lmlab.data.columns import DEFAULT_COLUMNS, columns_of
from lmlab.data.sources import SOURCES
from lmlab.data.task import TaskSettings, fields_of
from lmlab.data.tokenizer import TOKENIZERS
from lmlab.errors import InputError
from lmlab.evaluation.settings import EvaluationSettings
from lmlab.evaluation.task_metrics import task_metrics
from lmlab.export.settings import ExportSettings
from lmlab.models import MODELS
from lmlab.registry import Registry
from lmlab.runtime import RuntimeSettings
from lmlab.text import nearest, shown
from lmlab.training.settings import TrainingSettings

SECTIONS: dict[str, type[Settings] | Registry | None] = {
    "source": SOURCES,
    "cleaning": CleaningSettings,
    "task": TaskSettings,
    "tokenizer": TOKENIZERS,
    "model": MODELS,
    "training": TrainingSettings,
    "evaluation": EvaluationSettings,
    "export": ExportSettings,
    "runtime": RuntimeSettings,
    "seed": None,
}
"""Each section with its class, or with the registry whose part its name picks."""

UNTRACKED = frozenset({"runtime"})
"""Sections that change no result."""


def validate_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """The typed settings of every section.

    Raises: InputError that names the first fault by its full path.
    """
    for name in params:
        if name not in SECTIONS:
            raise InputError(f"{name}: there is no such section of settings; {nearest(name, SECTIONS)}")
    for name in SECTIONS:
        if name not in params:
            raise InputError(f"{name}: this section is missing; compose params.yaml again: python -m pipelines.compose")
    found = {name: _validate_section(name, params[name]) for name in SECTIONS}
    _check_fields(found["source"], found["task"])
    task_metrics(found["task"])
    return found


def _check_fields(source: PartSettings, task: TaskSettings) -> None:
    """Raise InputError where a source that maps columns to fields gives some of the task's fields no column."""
    if not hasattr(source, "columns"):
        return
    columns = getattr(source, "columns", None) or DEFAULT_COLUMNS
    given = [column.field for column in columns_of(columns)]
    if all(name in given for name in fields_of(task)):
        return
    wanted = ", ".join(f"{name}: {_spelt(columns.get(name, 'COLUMN'))}" for name in fields_of(task))
    raise InputError(
        f"source.columns: task={task.name} reads the fields {', '.join(fields_of(task))}, and is given "
        f"{', '.join(given)}; say which column holds each: 'source.columns={{{wanted}}}'"
    )


def _spelt(column: str | list[str]) -> str:
    return column if isinstance(column, str) else f"[{', '.join(column)}]"


def tracked(params: Mapping[str, Any]) -> dict[str, Any]:
    """The sections that decide results."""
    return {name: value for name, value in params.items() if name not in UNTRACKED}


def _validate_section(name: str, values: Any) -> Any:
    kind = SECTIONS[name]
    if kind is None:
        return _seed(values)
    if isinstance(kind, Registry):
        part_name = values.get("name") if isinstance(values, Mapping) else values
        return validate(kind.get(str(part_name)).settings, values, path=name)
    return validate(kind, values, path=name)


def _seed(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**32:
        raise InputError(f"seed: must be a whole number from 0 to {2**32 - 1}, found {shown(value)}")
    return value
