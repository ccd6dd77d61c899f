"""Begin a training from the weights of a bundle."""

from pathlib import Path

from lmlab.bundle import WEIGHTS_NAME, load_bundle
from lmlab.config import PartSettings
from lmlab.data.tokenizer import Tokenizer
from lmlab.errors import InputError
from lmlab.files import file_digest
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
    wanted, found = settings.model_dump(), bundle.config["model"]
    for key in sorted({*wanted, *found} - FREE_SETTINGS):
        if wanted.get(key) != found.get(key):
            raise InputError(
                f"training.start_from: {folder} has model.{key}={found.get(key)}, these settings have "
                f"{wanted.get(key)}: set model.{key}={found.get(key)}"
            )
    model.load_state_dict(bundle.model.state_dict())
    return file_digest(folder / WEIGHTS_NAME)
