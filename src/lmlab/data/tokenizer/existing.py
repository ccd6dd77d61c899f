"""A tokenizer that is there already: that of a bundle to start training from, or any tokenizer.json."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lmlab.config import WatchedSettings
from lmlab.data.tokenizer import TOKENIZERS, Tokenizer

if TYPE_CHECKING:
    import tokenizers


class ExistingSettings(WatchedSettings):
    """Where it is."""

    path: str
    """A folder with tokenizer.json, such as a bundle."""


@TOKENIZERS.register(ExistingSettings)
def build(settings: ExistingSettings, texts: Iterator[str]) -> "tokenizers.Tokenizer":
    """Load it; the texts are not read.

    Raises: InputError if the folder holds no tokenizer with the separator of lmlab.
    """
    del texts
    return Tokenizer.load(Path(settings.path)).inner
