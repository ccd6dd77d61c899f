"""Models of transformers from a folder or from an architecture; no code but that of the installed library runs."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lmlab.errors import InputError
from lmlab.files import read_json
from lmlab.memory import bounded_memory
from lmlab.model_folders import building_bytes, check_depth, find_model_folder, num_tensors, weight_files
from lmlab.models.architectures.language_model import draws_weights
from lmlab.models.architectures.pretrained import PretrainedLanguageModel, in_one_line
from lmlab.models.architectures.pretrained_causal import PretrainedCausal
from lmlab.models.architectures.pretrained_encoder_decoder import PretrainedEncoderDecoder

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

CONFIG_NAME = "config.json"
log = logging.getLogger("lmlab")

# They name code: of the folder, or of repositories of the hub.
_NAMES_OF_CODE = ("auto_map", "attn_implementation", "experts_implementation")


def load_model(source: str) -> PretrainedLanguageModel:
    """The model of a folder, or of a repository of the hub, in float32.

    Raises: InputError if there is none, its files are damaged or of a kind that is not read, or they do not fit.
    """
    folder = find_model_folder(source, path="model.source")
    architecture = _read_architecture(folder)
    files = weight_files(folder)
    check_depth(architecture, tensors=num_tensors(files), path=f"model.source: {folder / CONFIG_NAME}")
    with _one_line(f"model.source: {folder}"), bounded_memory(building_bytes(files)):
        model = _behind_the_seam(_load(folder, _config(architecture)), origin=folder)
    model.check_output()
    return model.train()


def fresh_model(architecture: Mapping[str, Any]) -> PretrainedLanguageModel:
    """A model of this config.json with fresh weights, or with any where the right ones follow.

    Raises: InputError if transformers knows no such model.
    """
    from transformers.initialization import no_init_weights

    with _one_line("model.architecture"):
        config = _config(architecture)
        if draws_weights():
            inner = _class_of(config).from_config(config, dtype=torch.float32)
        else:
            with no_init_weights():
                inner = _class_of(config).from_config(config, dtype=torch.float32)
            inner.tie_weights()
        return _behind_the_seam(inner, origin=None).train()


def _read_architecture(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG_NAME
    if not path.is_file():
        raise InputError(f"model.source: {folder} holds no {CONFIG_NAME}: name a folder of transformers' form")
    try:
        architecture = read_json(path)
    except InputError:
        raise InputError(f"model.source: {path} is not valid JSON: get it again") from None
    if "format" in architecture and "model_type" not in architecture:
        raise InputError(
            f"model.source: {folder} is a bundle of lmlab: go on from it with training.start_from={folder}"
        )
    return architecture


def _config(architecture: Mapping[str, Any]) -> "PreTrainedConfig":
    from transformers import CONFIG_MAPPING, AutoConfig

    kind = architecture.get("model_type")
    if kind not in CONFIG_MAPPING:
        needs = ": it needs code of its own folder, and none is run" if "auto_map" in architecture else ""
        raise ValueError(f"transformers has no kind of model called '{kind}'{needs}")
    if architecture.get("quantization_config"):
        raise ValueError("its weights are quantized: take the model whose weights are floats")
    return AutoConfig.for_model(**_without_code(architecture))


def _without_code(values: Any) -> Any:
    """The config without what names code, in the configs inside it too; keys that begin with _ are no settings."""
    if not isinstance(values, Mapping):
        return values
    kept = (key for key in values if not str(key).startswith("_") and key not in _NAMES_OF_CODE)
    return {key: _without_code(values[key]) for key in kept}


def _class_of(config: "PreTrainedConfig") -> Any:
    from transformers import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
        AutoModelForCausalLM,
        AutoModelForSeq2SeqLM,
    )

    apart = config.is_encoder_decoder
    if type(config) not in (MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING if apart else MODEL_FOR_CAUSAL_LM_MAPPING):
        raise ValueError(f"models of the kind {config.model_type} write no text")
    return AutoModelForSeq2SeqLM if apart else AutoModelForCausalLM


def _load(folder: Path, config: "PreTrainedConfig") -> "PreTrainedModel":
    inner, report = _class_of(config).from_pretrained(
        folder,
        config=config,
        dtype=torch.float32,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        # Told apart below, in words.
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    for name, found, wanted in sorted(report["mismatched_keys"]):
        raise ValueError(f"its files hold {name} as {tuple(found)}, {CONFIG_NAME} makes it {tuple(wanted)}")
    missing = sorted(report["missing_keys"])
    if missing:
        raise ValueError(f"its files lack {len(missing)} weights of the model, such as {missing[0]}")
    if report["unexpected_keys"]:
        log.info("%s: %d weights are not used by the model", folder, len(report["unexpected_keys"]))
    return inner


def _behind_the_seam(inner: "PreTrainedModel", *, origin: Path | None) -> PretrainedLanguageModel:
    kind = PretrainedEncoderDecoder if inner.config.is_encoder_decoder else PretrainedCausal
    return kind(inner, origin=origin)


@contextmanager
def _one_line(where: str) -> Iterator[None]:
    """Turn what transformers raises in the block into one line, and say nothing else.

    Raises: InputError for any error: a config or weights that do not fit have a hundred faces here.
    """
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{where}: {in_one_line(error)}") from None
