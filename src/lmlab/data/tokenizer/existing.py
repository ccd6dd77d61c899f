"""A tokenizer that is there already: that of a bundle to start training from, or of a pretrained model."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import BeforeValidator

from lmlab.config import WatchedSettings
from lmlab.data.tokenizer import TOKENIZERS, Tokenizer
from lmlab.model_folders import find_model_folder


def _named(path: object) -> object:
    if not path:
        raise ValueError("name a folder with tokenizer.json; with model=pretrained set model.source, which it follows")
    return path


class ExistingSettings(WatchedSettings):
    """Where it is."""

    path: Annotated[str, BeforeValidator(_named)]
    """A folder with tokenizer.json, such as a bundle, or a model of the hub: OWNER/NAME or OWNER/NAME@REVISION."""


@TOKENIZERS.register(ExistingSettings)
def build(settings: ExistingSettings, texts: Iterator[str]) -> Tokenizer:
    """Load it; the texts are not read.

    Raises: InputError if there is none, or it names no token that could stand between texts.
    """
    del texts
    return Tokenizer.load(find_model_folder(settings.path, path="tokenizer.path"))
