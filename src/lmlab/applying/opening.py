"""Folders to appliers: a bundle, an export folder, or a model in transformers' own form."""

import json
from pathlib import Path
from typing import Literal

from lmlab.applying.applier import Applier
from lmlab.applying.plain import open_plain
from lmlab.bundle import WEIGHTS_NAME, load_bundle
from lmlab.engines.onnx_model import engine_of
from lmlab.errors import InputError
from lmlab.files import SEAL_NAME

Engine = Literal["auto", "onnxruntime", "torch"]

BUNDLE = "bundle"
CONFIG = "config.json"


def open_applier(folder: Path, *, engine: Engine = "auto") -> Applier:
    """The model of a folder: a bundle, an export folder that holds one, or a folder that transformers would load.

    Raises: InputError if the folder holds no model that can be loaded, or not by that engine.
    """
    if _config_of(folder).get("model_type"):
        if engine == "onnxruntime":
            raise InputError("--engine onnxruntime: cannot run a model of transformers' form; leave it out")
        return open_plain(folder)
    model, tokenizer, _ = bundle = load_bundle(_bundle_of(folder))
    fast = model if engine == "torch" else engine_of(model)
    if engine == "onnxruntime" and fast is model:
        raise InputError(f"--engine onnxruntime: cannot run the model {bundle.config['model']['name']}; leave it out")
    return Applier(fast, tokenizer, bundle.task, engine="torch" if fast is model else "onnxruntime")


def _bundle_of(folder: Path) -> Path:
    """The bundle that the folder is, or holds.

    Raises: InputError if there is none.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} does not exist: name a bundle or an export folder, or train one with `make repro`")
    for candidate in (folder, folder / BUNDLE):
        # A damaged config.json says nothing: the seal beside the weights then names it.
        if "format" in _config_of(candidate) or all((candidate / name).is_file() for name in (SEAL_NAME, WEIGHTS_NAME)):
            return candidate
    raise InputError(f"{folder} holds no model: name a bundle, or a folder with {BUNDLE}/ such as models/export")


def _config_of(folder: Path) -> dict:
    """The folder's config.json; empty where there is none."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return config if isinstance(config, dict) else {}
