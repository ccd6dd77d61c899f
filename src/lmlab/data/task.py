"""A task: what it makes of a record, prompt and target, and how answers are decoded and measured."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydantic import Field

from lmlab.config import PositiveInt, Settings
from lmlab.errors import InputError
from lmlab.text import nearest

_FIELD = re.compile(r"\{(\w+)\}")


class SamplingSettings(Settings):
    """How the next token is drawn from the model's distribution."""

    temperature: float = Field(ge=0)
    """0 takes the most likely token."""
    top_k: int = Field(ge=0)
    """Draw from the k most likely tokens; 0 is no bound."""
    top_p: float = Field(gt=0, le=1)
    """Draw from the fewest likeliest tokens whose probabilities sum to at least this; 1 is no bound."""


class DecodingSettings(Settings):
    """How an answer is decoded."""

    max_new_tokens: PositiveInt
    sampling: SamplingSettings


class TaskSettings(Settings):
    """A task's YAML file."""

    name: str
    version: PositiveInt
    prompt: str
    target: str = Field(min_length=1)
    metrics: list[str] = Field(min_length=1)
    decoding: DecodingSettings


class Example(NamedTuple):
    """What a task makes of a record."""

    prompt: str
    target: str


def fields_of(task: TaskSettings) -> list[str]:
    """The record fields that the task's templates name, in order of appearance."""
    return list(dict.fromkeys(_FIELD.findall(task.prompt) + _FIELD.findall(task.target)))


def check_fields(task: TaskSettings, available: Sequence[str]) -> None:
    """Raise InputError if a template names a field that the records lack."""
    for name in fields_of(task):
        if name not in available:
            raise InputError(
                f"task {task.name}: a template names the field '{name}', which the records lack; "
                f"{nearest(name, available)}"
            )


def example_of(task: TaskSettings, record: Mapping[str, str]) -> Example:
    """The record put into the templates; braces in the record's own text stay as they are."""

    def fill(template: str) -> str:
        return _FIELD.sub(lambda match: record[match.group(1)], template)

    return Example(fill(task.prompt), fill(task.target))
