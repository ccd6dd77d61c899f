"""Transformer language model."""

from typing import TYPE_CHECKING, Self

from pydantic import model_validator

from lmlab.config import Fraction, PartSettings, PositiveFloat, PositiveInt
from lmlab.models import MODELS

if TYPE_CHECKING:
    from lmlab.models.architectures.language_model import LanguageModel


class TransformerSettings(PartSettings):
    """Shape of a Transformer."""

    width: PositiveInt
    layers: PositiveInt
    heads: PositiveInt
    key_heads: PositiveInt
    feed_forward_width: PositiveInt
    rotary_base: PositiveFloat
    dropout: Fraction

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ValueError(
                f"width must be heads times an even head width, found width {self.width} and heads {self.heads}; "
                f"the nearest right width is {max(2, round(self.width / self.heads / 2) * 2) * self.heads}"
            )
        if self.heads % self.key_heads:
            raise ValueError(f"heads ({self.heads}) must be a multiple of key_heads ({self.key_heads})")
        return self


@MODELS.register(TransformerSettings)
def build(settings: TransformerSettings, *, vocabulary_size: int, context_length: int) -> "LanguageModel":
    """A Transformer with fresh weights from torch's global random state, which reads context_length tokens at once."""
    from lmlab.models.architectures.transformer import TransformerLanguageModel

    return TransformerLanguageModel(
        vocabulary_size=vocabulary_size,
        width=settings.width,
        layers=settings.layers,
        heads=settings.heads,
        key_heads=settings.key_heads,
        head_width=settings.width // settings.heads,
        feed_forward_width=settings.feed_forward_width,
        context_length=context_length,
        rotary_base=settings.rotary_base,
        dropout=settings.dropout,
    )
