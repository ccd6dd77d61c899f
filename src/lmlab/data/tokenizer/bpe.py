"""Byte-level byte-pair encoding (Sennrich et al. 2016; Radford et al. 2019): reads every text, loses none."""

from collections.abc import Iterator

from pydantic import Field

from lmlab.config import PositiveInt, WatchedSettings
from lmlab.data.tokenizer import SEPARATOR, TOKENIZERS, Tokenizer


class BpeSettings(WatchedSettings):
    """Size of the vocabulary."""

    vocabulary_size: int = Field(ge=257)
    """Tokens at most; 256 bytes and the separator at least."""
    min_frequency: PositiveInt
    """How often a pair must occur to be merged."""
    split_digits: bool
    """Whether each digit is a token of its own, so that numbers can be copied digit by digit."""


@TOKENIZERS.register(BpeSettings)
def build(settings: BpeSettings, texts: Iterator[str]) -> Tokenizer:
    """Train on the texts."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    inner = tokenizers.Tokenizer(models.BPE())
    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = pre_tokenizers.Digits(individual_digits=True)
    inner.pre_tokenizer = pre_tokenizers.Sequence([digits, words]) if settings.split_digits else words
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocabulary_size,
        min_frequency=settings.min_frequency,
        special_tokens=[SEPARATOR],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(texts, trainer)
    return Tokenizer(inner)
