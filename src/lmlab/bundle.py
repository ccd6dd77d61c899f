"""A bundle: model, tokenizer and their settings in one folder, loaded without running any code from it.

model.safetensors  tokenizer.json  config.json  seal.json
"""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lmlab.config import validate
from lmlab.data.task import LearnedTask
from lmlab.data.tokenizer import Tokenizer
from lmlab.errors import InputError
from lmlab.files import check_seal, read_json, write_json, write_seal
from lmlab.memory import bounded_memory
from lmlab.model_folders import building_bytes, check_depth
from lmlab.models import MODELS

if TYPE_CHECKING:
    from torch import Tensor

    from lmlab.models.architectures.language_model import LanguageModel

WEIGHTS_NAME = "model.safetensors"
CONFIG_NAME = "config.json"
FORMAT = 2
"""Of the bundle: raised when an older bundle can no longer be read."""
SIZES = ("vocabulary_size", "context_length")
"""What a model is built with beside its settings."""


class Bundle(NamedTuple):
    """A loaded bundle; the model is in evaluation mode on the CPU."""

    model: "LanguageModel"
    tokenizer: Tokenizer
    config: dict

    @property
    def task(self) -> LearnedTask:
        """What the model was trained to do, and how it is asked."""
        return LearnedTask.model_validate(self.config["task"])


def build_model(settings: dict, *, vocabulary_size: int, context_length: int, path: str) -> "LanguageModel":
    """A fresh model from plain settings found at this path; context_length is what it must read at once.

    Raises: InputError if the settings do not fit, or ask for more than there is memory.
    """
    part = MODELS.get(str(settings.get("name")))
    typed = validate(part.settings, settings, path=path)
    try:
        return part.build(typed, vocabulary_size=vocabulary_size, context_length=context_length)
    except (MemoryError, OverflowError, RuntimeError) as error:
        raise InputError(f"{path}: this model cannot be built: {str(error).partition(chr(10))[0]}") from None


def save_bundle(
    folder: Path,
    model: "LanguageModel",
    tokenizer: Tokenizer,
    *,
    settings: dict,
    context_length: int,
    task: LearnedTask,
    facts: dict,
) -> None:
    """Write a sealed bundle into an existing folder; `settings` built the model, `facts` are kept beside."""
    from safetensors.torch import save_file

    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(model.state_dict().items())}
    save_file(weights, folder / WEIGHTS_NAME, metadata={"format": "pt"})
    tokenizer.save(folder)
    sizes = {"vocabulary_size": tokenizer.vocabulary_size, "context_length": context_length}
    config = {"format": FORMAT, "model": model.rebuilding(settings), **sizes, "task": task.model_dump(), **facts}
    write_json(folder / CONFIG_NAME, config)
    write_seal(folder, {"stage": "train"})


def load_bundle(folder: Path) -> Bundle:
    """The bundle of a folder.

    Raises: InputError if a file is missing, was changed, or does not fit the others.
    """
    from lmlab.models.architectures.language_model import weights_follow

    check_seal(folder)
    config = read_json(folder / CONFIG_NAME)
    path = str(folder / CONFIG_NAME)
    if config.get("format") != FORMAT:
        raise InputError(
            f"{path}: this is no bundle of format {FORMAT}, found {config.get('format')!r}: "
            "train again with this version of lmlab"
        )
    for key, kind in (("model", dict), *((size, int) for size in SIZES)):
        if type(config.get(key)) is not kind or (kind is int and config[key] < 0):
            raise InputError(f"{path}: {key} is missing or of the wrong type: take the bundle as training wrote it")
    validate(LearnedTask, config.get("task"), path=f"{path}: task")
    tokenizer = Tokenizer.load(folder)
    if tokenizer.vocabulary_size != config["vocabulary_size"]:
        raise InputError(
            f"{folder}: the tokenizer has {tokenizer.vocabulary_size} tokens, "
            f"the model was trained with {config['vocabulary_size']}: take both from one bundle"
        )
    weights = _read_weights(folder / WEIGHTS_NAME)
    check_depth(config["model"], tensors=len(weights), path=f"{path}: model")
    with weights_follow(), bounded_memory(building_bytes([folder / WEIGHTS_NAME])):
        model = build_model(
            config["model"],
            vocabulary_size=config["vocabulary_size"],
            context_length=config["context_length"],
            path=f"{path}: model",
        )
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(f"{folder / WEIGHTS_NAME} does not hold this model's weights: {error}") from None
    return Bundle(model.eval(), tokenizer, config)


def _read_weights(path: Path) -> "dict[str, Tensor]":
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(path)
        for name, tensor in weights.items():
            if not tensor.is_floating_point() or not tensor.isfinite().all():
                raise InputError(f"{path} is damaged: {name} holds what is no finite number")
    except (SafetensorError, RuntimeError) as error:
        raise InputError(f"{path} does not hold this model's weights: {error}") from None
    return weights
