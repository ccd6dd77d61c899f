"""Settings of a search; their values stand in conf/hydra/sweeper/optuna.yaml."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lmlab.config import PositiveInt, Settings

NonNegativeInt = Annotated[int, Field(ge=0)]
CURVES = ("validation_bits_per_byte", "validation_nats_per_token")
"""What a training tells of while it runs, and a pruner can judge."""


class PrunerSettings(Settings):
    """A trial is pruned when its best value so far is worse than the median of the others at the same step."""

    num_startup_trials: NonNegativeInt
    """Trials that must have ended before any is pruned."""
    num_warmup_steps: NonNegativeInt
    """Optimizer steps that every training may take."""


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
    objectives: Annotated[dict[str, Literal["minimize", "maximize"]], Field(min_length=1)]
    pruner: PrunerSettings | None
    parallel_trials: PositiveInt
    """Trials that are asked for at a time, and handed to the launcher together."""
    trial: NonNegativeInt | None
    """The number of a job's trial; set by the search."""
    dry_run: bool

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.pruner is not None and (len(self.objectives) > 1 or next(iter(self.objectives)) not in CURVES):
            raise ValueError(f"a pruner needs one objective that training tells of, one of {', '.join(CURVES)}")
        return self

    @property
    def directions(self) -> list[Literal["minimize", "maximize"]]:
        """Which way each objective is better, in their order."""
        return list(self.objectives.values())
