"""GRU language model (Cho et al. 2014)."""

from typing import TYPE_CHECKING

from lmlab.models import MODELS
from lmlab.models.architectures.settings import RecurrentSettings

if TYPE_CHECKING:
    from lmlab.models.architectures.language_model import LanguageModel


@MODELS.register(RecurrentSettings)
def build(settings: RecurrentSettings, *, vocabulary_size: int, context_length: int) -> "LanguageModel":
    """A GRU with fresh weights from torch's global random state; it reads contexts of any length."""
    del context_length
    from torch import nn

    from lmlab.models.architectures.recurrent import recurrent_language_model

    return recurrent_language_model(nn.GRU, settings, vocabulary_size=vocabulary_size)
