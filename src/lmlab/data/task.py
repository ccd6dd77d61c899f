"""A task: what it makes of a record, prompt and target, and how answers are decoded and measured."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from lmlab.config import PositiveInt, Settings
from lmlab.errors import InputError
from lmlab.text import nearest

_FIELD = re.compile(r"\{(\w+)\}")
# Memory is reserved for what is asked for at most, and no number on the way may overflow.
MaxNewTokens = Annotated[int, Field(gt=0, le=1_000_000)]
NumBeams = Annotated[int, Field(gt=0, le=1_000)]
LEAST_TEMPERATURE = 1e-6
"""Above 0: less would divide logits beyond all numbers."""


class SamplingSettings(Settings):
    """How the next token is drawn from the model's distribution."""

    temperature: float = Field(ge=0)
    """0 takes the most likely token; else at least 0.000001."""
    top_k: int = Field(ge=0, le=1_000_000)
    """Draw from the k most likely tokens; 0 is no bound."""
    top_p: float = Field(gt=0, le=1)
    """Draw from the fewest likeliest tokens whose probabilities sum to at least this; 1 is no bound."""

    @field_validator("temperature")
    @classmethod
    def _check_temperature(cls, temperature: float) -> float:
        if 0 < temperature < LEAST_TEMPERATURE:
            raise ValueError(f"must be 0 or at least {LEAST_TEMPERATURE:g}")
        return temperature


class SamplingDecoding(Settings):
    """An answer written token by token as the model's distribution says; temperature 0 is greedy."""

    name: Literal["sampling"]
    max_new_tokens: MaxNewTokens
    sampling: SamplingSettings


class BeamDecoding(Settings):
    """The likeliest answer that a beam search finds."""

    name: Literal["beam"]
    max_new_tokens: MaxNewTokens
    beams: NumBeams
    """Answers that are kept side by side."""
    length_penalty: float = Field(ge=0, le=10)
    """Exponent of the length that a log likelihood is divided by; 0 divides by nothing (Wu et al. 2016, section 7)."""


class RankingDecoding(Settings):
    """The likeliest of the task's choices."""

    name: Literal["ranking"]


DecodingSettings = Annotated[SamplingDecoding | BeamDecoding | RankingDecoding, Field(discriminator="name")]


class CuttingSettings(Settings):
    """How a prompt that is too long is cut."""

    max_prompt_tokens: PositiveInt | None
    """Tokens of a prompt at most; null never cuts."""
    field: str | None
    """The field that loses text; the rest of the prompt stays whole."""
    side: Literal["start", "end"]
    """The side of the field that is cut off."""

    @model_validator(mode="after")
    def _names_the_field(self) -> Self:
        if self.max_prompt_tokens is not None and self.field is None:
            raise ValueError("max_prompt_tokens needs a field to cut: name one of the prompt's fields")
        return self


class Answering(Settings):
    """How a model is asked, and how it answers: what a task and a trained model share."""

    name: str
    """The task's."""
    version: PositiveInt
    prompt: str
    """Template of what the model is given; empty for plain text."""
    cutting: CuttingSettings
    decoding: DecodingSettings

    @model_validator(mode="after")
    def _check_prompt(self) -> Self:
        if not self.prompt and self.decoding.name != "sampling":
            raise ValueError("a task without a prompt goes on with plain text, which decoding.name=sampling does")
        if self.cutting.field is not None and f"{{{self.cutting.field}}}" not in self.prompt:
            raise ValueError(f"cutting.field: the prompt has no field '{self.cutting.field}'")
        return self

    def prompt_of(self, record: Mapping[str, str]) -> str:
        """The record put into the template; braces in the record's own text stay as they are."""
        return _filled(self.prompt, record)

    def prompt_fields(self) -> list[str]:
        """The record fields that the prompt names, in order of appearance."""
        return list(dict.fromkeys(_FIELD.findall(self.prompt)))


class LearnedTask(Answering):
    """What a bundle tells of the task that its model was trained on."""

    choices: list[str]
    """The answers that ranking chooses from; empty where nothing is ranked."""

    @model_validator(mode="after")
    def _check_ranked(self) -> Self:
        if self.decoding.name == "ranking":
            _check_choices(self.choices)
        return self


class TaskSettings(Answering):
    """A task's YAML file."""

    language: str | None
    """Language of the targets as ISO 639-1 code (de, zh), for metrics that split them into words."""
    target: str = Field(min_length=1)
    """Template of what the model is trained to answer."""
    references: str | None
    """The field whose further columns (NAME_2, NAME_3, ...) hold other right answers; null: there are none."""
    choices: list[str] | None
    """The answers that ranking chooses from; null takes the targets of the training split."""
    metrics: list[str] = Field(min_length=1)
    """The first is the one that a summary shows."""
    baselines: list[str]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.choices is not None and self.decoding.name != "ranking":
            raise ValueError("choices are for decoding.name=ranking alone; set choices to null")
        if self.choices is not None:
            _check_choices(self.choices)
        if self.references is not None and self.references not in fields_of(self):
            hint = nearest(self.references, fields_of(self))
            raise ValueError(f"references: the templates have no field '{self.references}'; {hint}")
        return self

    def target_of(self, record: Mapping[str, str]) -> str:
        """The record put into the target's template."""
        return _filled(self.target, record)

    def learned(self, choices: Sequence[str]) -> LearnedTask:
        """What a model that is trained on this task with these choices keeps of it."""
        shared = {name: getattr(self, name) for name in Answering.model_fields}
        return LearnedTask(**shared, choices=list(choices))


def _check_choices(choices: Sequence[str]) -> None:
    if not choices or len(set(choices)) < len(choices):
        raise ValueError("decoding.name=ranking needs choices, each of them once")


def _filled(template: str, record: Mapping[str, str]) -> str:
    return _FIELD.sub(lambda match: record[match.group(1)], template)


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
