"""Settings that several models share, apart from their torch modules so that they load without torch."""

from pydantic import Field

from lmlab.config import Fraction, PartSettings, PositiveInt


class RecurrentSettings(PartSettings):
    """Shape of a recurrent model."""

    embedding_width: PositiveInt
    width: PositiveInt
    layers: PositiveInt
    dropout: Fraction
    attention_span: int = Field(ge=0)
    """How many outputs, its own with them, each output attends to; 0 turns attention off."""
