"""Settings of a search; their values stand in conf/hydra/sweeper/optuna.yaml."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from lmlab.config import PositiveInt, Settings
from lmlab.errors import InputError
from lmlab.results import PREFIX
from lmlab.text import nearest

NonNegativeInt = Annotated[int, Field(ge=0)]
CURVES = ("validation_bits_per_byte", "validation_nats_per_token")
"""What a training tells of while it runs, and a pruner can judge."""
TRAINING_NUMBERS = (
    *("parameters", "embedding_parameters", "steps", "tokens", "padding_share", "best_step"),
    *("validation_nats_per_token", "validation_bits_per_byte"),
)
"""The numbers of a training's report; a test compares."""


class PrunerSettings(Settings):
    """A trial is pruned when its best value so far is worse than the median of the others at the same step."""

    num_startup_trials: NonNegativeInt
    """Trials that must have ended before any is pruned."""
    num_warmup_steps: NonNegativeInt
    """Optimizer steps that every training may take."""


Direction = Literal["minimize", "maximize"]


class SearchSettings(Settings):
    """How a search looks for settings."""

    sampler: Literal["tpe", "random", "grid"]
    num_trials: PositiveInt
    """Trials to have ended at the search's end; a larger number lets an ended search go on."""
    num_startup_trials: NonNegativeInt
    """Trials drawn at random before TPE uses what it has seen."""
    seed: NonNegativeInt
    seeds: Annotated[list[NonNegativeInt], Field(min_length=1)] | None
    """Seeds of the trainings that each trial averages over; null trains once, with the settings' own seed."""
    objectives: Annotated[dict[str, Direction], Field(min_length=1)]
    """Metrics and which way each is better; given as a list of NAME:DIRECTION, since a command line cannot replace a
    mapping."""
    pruner: PrunerSettings | None
    parallel_trials: PositiveInt
    """Trials that are asked for at a time, and handed to the launcher together."""
    trial: NonNegativeInt | None
    """The number of a job's trial; set by the search."""
    dry_run: bool
    retry_failed: bool
    """Whether trials that failed in an earlier try are asked for again."""

    @field_validator("objectives", mode="before")
    @classmethod
    def _split(cls, given: object) -> object:
        words = given if isinstance(given, list) else [given]
        parts = [str(word).partition(":") for word in words]
        names = [name for name, _, _ in parts]
        if any(direction not in get_args(Direction) for _, _, direction in parts) or len(set(names)) < len(names):
            raise ValueError("write each metric once, as in [validation_bits_per_byte:minimize,parameters:minimize]")
        return {name: direction for name, _, direction in parts}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.pruner is not None and (len(self.objectives) > 1 or next(iter(self.objectives)) not in CURVES):
            raise ValueError(f"a pruner needs one objective that training tells of, one of {', '.join(CURVES)}")
        return self

    @property
    def directions(self) -> list[Direction]:
        """Which way each objective is better, in their order."""
        return list(self.objectives.values())


def check_objectives(settings: SearchSettings, metrics: Sequence[str]) -> None:
    """Raise InputError for an objective that no job of a task with these metrics has."""
    known = {*TRAINING_NUMBERS, *(f"{metric}{bound}" for metric in metrics for bound in ("", "_low", "_high"))}
    for name in settings.objectives:
        if name not in known and not name.startswith(PREFIX):
            raise InputError(f"hydra.sweeper.objectives: no job has the metric {name}; {nearest(name, known)}")
