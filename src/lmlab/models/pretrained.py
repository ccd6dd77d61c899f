"""A pretrained model of transformers: a causal one (GPT-2, Llama, Qwen) or an encoder-decoder (T5)."""

from typing import TYPE_CHECKING, Any, Self

from pydantic import model_validator

from lmlab.config import WatchedSettings
from lmlab.models import MODELS

if TYPE_CHECKING:
    from lmlab.models.architectures.language_model import LanguageModel


class PretrainedSettings(WatchedSettings):
    """Which model."""

    source: str | None
    """A folder of transformers' form, or a model of the hub: OWNER/NAME or OWNER/NAME@REVISION."""
    architecture: dict[str, Any] | None
    """The model's config.json instead, for a model of that shape with fresh weights; so does a bundle keep it."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.source is None and self.architecture is None:
            raise ValueError(
                "name a folder of transformers' form or a model of the hub, for example model.source=google-t5/t5-small"
            )
        if self.source is not None and self.architecture is not None:
            raise ValueError("source and architecture are both set: a source has its own architecture")
        return self


@MODELS.register(PretrainedSettings)
def build(settings: PretrainedSettings, *, vocabulary_size: int, context_length: int) -> "LanguageModel":
    """The model with its weights, or, of an architecture, with fresh ones from torch's global random state.

    Raises: InputError if there is no such model, it cannot be read, or does not fit the tokens.
    """
    from lmlab.models.architectures.pretrained_loading import fresh_model, load_model

    if settings.source is not None:
        model = load_model(settings.source)
    else:
        assert settings.architecture is not None
        model = fresh_model(settings.architecture)
    model.check_fit(vocabulary_size=vocabulary_size, context_length=context_length)
    return model
