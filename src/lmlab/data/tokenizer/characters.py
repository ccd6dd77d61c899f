"""Every character that the training text shows is a token; others are unknown."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lmlab.config import PositiveInt, WatchedSettings
from lmlab.data.tokenizer import SEPARATOR, TOKENIZERS, UNKNOWN

if TYPE_CHECKING:
    import tokenizers


class CharactersSettings(WatchedSettings):
    """Which characters are kept."""

    min_frequency: PositiveInt
    """How often a character must occur in the training text to be known."""


@TOKENIZERS.register(CharactersSettings)
def build(settings: CharactersSettings, texts: Iterator[str]) -> "tokenizers.Tokenizer":
    """Count the characters of the texts."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    known = sorted(character for character, count in counts.items() if count >= settings.min_frequency)
    vocabulary = {token: index for index, token in enumerate([SEPARATOR, UNKNOWN, *known])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in (SEPARATOR, UNKNOWN)])
    return tokenizer
