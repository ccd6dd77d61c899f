"""Settings of the export."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from lmlab.config import PositiveFloat, PositiveInt, Settings
from lmlab.export.exporters import EXPORTERS


class ParitySettings(Settings):
    """How closely an artifact must answer as the model that it was made from."""

    num_prompts: PositiveInt
    """Prompts from the test split, spread evenly over it."""
    prompt_tokens: PositiveInt
    greedy_tokens: PositiveInt
    """Tokens that greedy decoding goes on for; all must be equal."""
    largest_difference: PositiveFloat
    """Of logits, absolute."""


class ExportSettings(Settings):
    """The section `export`."""

    artifacts: Annotated[list[str], Field(min_length=1)] | None
    """Names of exporters; null is every exact form that the model can take."""
    parity: ParitySettings

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        for name in self.artifacts or []:
            EXPORTERS.get(name)
        return self
