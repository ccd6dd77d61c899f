"""Every character that the training text shows is a token; others are unknown."""

from collections import Counter
from collections.abc import Iterator

from lmlab.config import PositiveInt, WatchedSettings
from lmlab.data.tokenizer import SEPARATOR, TOKENIZERS, UNKNOWN, Tokenizer


class CharactersSettings(WatchedSettings):
    """Which characters are kept."""

    min_frequency: PositiveInt
    """How often a character must occur in the training text to be known."""


@TOKENIZERS.register(CharactersSettings)
def build(settings: CharactersSettings, texts: Iterator[str]) -> Tokenizer:
    """Count the characters of the texts."""
    import tokenizers
    from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers

    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    known = sorted(character for character, count in counts.items() if count >= settings.min_frequency)
    vocabulary = {token: index for index, token in enumerate([SEPARATOR, UNKNOWN, *known])}
    inner = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    inner.decoder = decoders.Fuse()
    inner.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in (SEPARATOR, UNKNOWN)])
    return Tokenizer(inner)
