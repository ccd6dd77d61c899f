"""Settings of a training."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lmlab.config import Fraction, PositiveFloat, PositiveInt, Settings

Momentum = Annotated[float, Field(ge=0, lt=1)]


class AdamwSettings(Settings):
    """AdamW (Loshchilov and Hutter 2019) on all parameters."""

    name: Literal["adamw"]
    beta1: Momentum
    beta2: Momentum
    weight_decay: float = Field(ge=0)
    """Of matrices; vectors and embeddings do not decay."""


class MuonSettings(Settings):
    """Muon (Jordan et al. 2024) on hidden matrices, AdamW on embeddings and vectors."""

    name: Literal["muon"]
    momentum: Momentum
    weight_decay: float = Field(ge=0)
    """Of the matrices."""
    newton_schulz_steps: PositiveInt
    """How near to orthogonal each step is made; 5 is usual."""
    beta1: Momentum
    beta2: Momentum
    adamw_learning_rate_ratio: PositiveFloat
    """AdamW's learning rate as a multiple of training.learning_rate."""


class TrainingSettings(Settings):
    """Budget, batches, optimizer and schedule."""

    start_from: str | None
    """The folder of a bundle whose weights the training begins with; null begins with fresh ones."""
    depends_on: str
    """The path outside the project's code that DVC watches: with start_from, that folder."""
    max_steps: Annotated[int, Field(ge=0)] | None
    """Optimizer steps at most; 0 keeps the weights as they are, which is for those that were trained before."""
    max_tokens: PositiveInt | None
    """Training tokens at most; where both budgets are set the first one reached ends the training."""
    batch_rows: PositiveInt
    """Rows of each optimizer step. Examples with prompts stand in batches of up to batch_rows * sequence_length
    tokens, padding included, with as many rows as fit."""
    accumulate: PositiveInt
    """Parts that a step's rows are read in, one after another, to save memory."""
    sequence_length: PositiveInt
    """Tokens of each row of text."""
    carry_state: bool
    """Whether each row of text goes on where it ended in the step before, with the state that it had."""
    learning_rate: PositiveFloat
    optimizer: Annotated[AdamwSettings | MuonSettings, Field(discriminator="name")]
    warmup_steps: int = Field(ge=0)
    """Steps over which the learning rate rises from 0."""
    decay_share: Fraction
    """Share of the steps, at the end, over which the learning rate falls linearly."""
    final_learning_rate_share: Fraction
    """What the learning rate falls to, as a share of itself."""
    gradient_clip_norm: PositiveFloat | None
    precision: Literal["32-true", "bf16-mixed"]
    compile: bool
    """Whether torch.compile makes one program of the model first: it takes a minute, and a C++ compiler on a CPU."""
    log_every_steps: PositiveInt
    validate_every_steps: PositiveInt
    validation_tokens: PositiveInt
    """About so many tokens of the validation split, in whole records spread evenly over it, are read each time."""
    early_stop_validations: PositiveInt | None
    """End after this many validations in a row without a new best; null trains to the budget's end."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.max_steps is None and self.max_tokens is None:
            raise ValueError("max_steps and max_tokens are both null: set one of them")
        if self.batch_rows % self.accumulate:
            raise ValueError(f"batch_rows ({self.batch_rows}) must be a multiple of accumulate ({self.accumulate})")
        if self.max_steps != 0 and self.max_tokens is not None and self.max_tokens < self.tokens_per_step:
            raise ValueError(f"max_tokens must be at least one step's {self.tokens_per_step} tokens")
        return self

    @property
    def tokens_per_step(self) -> int:
        """Tokens that each optimizer step reads at most, padding included."""
        return self.batch_rows * self.sequence_length

    @property
    def num_steps(self) -> int:
        """Optimizer steps that the budgets allow."""
        by_tokens = None if self.max_tokens is None else self.max_tokens // self.tokens_per_step
        return min(steps for steps in (self.max_steps, by_tokens) if steps is not None)
