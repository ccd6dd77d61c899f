"""Begin a training from weights that are there: of a bundle, or of a pretrained model."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lmlab.bundle import WEIGHTS_NAME, load_bundle
from lmlab.config import PartSettings
from lmlab.data.tokenizer import Tokenizer
from lmlab.errors import InputError
from lmlab.files import file_digest
from lmlab.model_folders import weights_digest
from lmlab.models.architectures.language_model import LanguageModel

# Dropout holds no weights: a training may use another than the one before it.
FREE_SETTINGS = {"dropout"}


def load_start(model: LanguageModel, folder: Path, settings: PartSettings, tokenizer: Tokenizer) -> str:
    """Put the bundle's weights into the model; returns the digest of their file.

    Raises: InputError if the folder is no bundle, or has another tokenizer or another shape of model.
    """
    if not folder.is_dir():
        raise InputError(f"training.start_from: {folder} does not exist; name the folder of a bundle (models/bundle)")
    bundle = load_bundle(folder)
    if bundle.tokenizer != tokenizer:
        raise InputError(
            f"training.start_from: {folder} was trained with another tokenizer; encode with the bundle's own: "
            f"tokenizer=existing tokenizer.path={folder}"
        )
    wanted, found = (dict(_flat(one)) for one in (model.rebuilding(settings.model_dump()), bundle.config["model"]))
    for key in sorted({*wanted, *found} - FREE_SETTINGS):
        if wanted.get(key) != found.get(key):
            raise InputError(
                f"training.start_from: {folder} has model.{key}={found.get(key)}, these settings have "
                f"{wanted.get(key)}: set model.{key}={found.get(key)}"
            )
    model.load_state_dict(bundle.model.state_dict())
    return file_digest(folder / WEIGHTS_NAME)


def _flat(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Each setting by its dotted name."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def check_origin(origin: Path, model: LanguageModel, tokenizer: Tokenizer) -> str:
    """The digest of the weights in the folder that the model comes from, once the tokens are seen to be its own.

    Raises: InputError if the tokenizer is not the folder's, or puts around prompts what the model would not be given.
    """
    if Tokenizer.load(origin) != tokenizer:
        raise InputError(
            f"tokenizer: the model of {origin} knows the tokens of its own tokenizer alone: "
            "tokenizer=existing tokenizer.path=${model.source}"
        )
    before, after = tokenizer.put_around()
    # As text, for people.
    shown = [[tokenizer.token_text(token) for token in side] for side in (before, after)]
    if model.needs_prompts and (before or after not in ([], [tokenizer.separator_id])):
        raise InputError(
            f"model.source: the tokenizer of {origin} puts {shown[0]} before a prompt and {shown[1]} after it; "
            f"encoder-decoder models are read with {tokenizer.separator} after it alone, as T5 is"
        )
    return weights_digest(origin)
