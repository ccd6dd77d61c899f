"""A pretrained model's folder of transformers' form: the user's own, or a copy of a repository of the hub.

config.json  model.safetensors (or model.safetensors.index.json and its parts)  tokenizer.json  tokenizer_config.json

Weights are safetensors and nothing else, which hold numbers alone; no code of a folder runs, and none is downloaded.
"""

import logging
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lmlab.errors import InputError
from lmlab.files import file_digest, read_json
from lmlab.hub_access import OFFLINE, hub_is_allowed, hub_reachable
from lmlab.text import digest_of, utf8_length

log = logging.getLogger("lmlab")

WEIGHTS_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"
LONGEST_NAME = 255
"""Of a file, in bytes; no system has longer ones."""
WANTED = ["model*.safetensors", "*.json"]
"""What is fetched of a repository."""
_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
_BUILDING_BYTES, _BUILDING_TIMES = 1 << 30, 4
# In the names of settings, ours and those of config.json, for what a model builds one after another.
_BUILT_IN_TURN = ("layer", "expert", "num_blocks", "num_labels")
# A smaller model may still say what holds for those of its kind.
_MORE_LAYERS = 500
_WITHOUT_NETWORK = "without a network, name a folder"


def find_model_folder(source: str, *, path: str) -> Path:
    """The folder of that name, else a copy of the hub's repository OWNER/NAME or OWNER/NAME@REVISION.

    `path` is the setting that names it. Raises: InputError if there is none, or neither hub nor cache can give it.
    """
    try:
        folder = Path(source).expanduser()
    except (RuntimeError, ValueError):
        raise InputError(f"{path}: {source!r} names nobody's home directory") from None
    if folder.is_dir():
        return folder
    name, _, revision = source.partition("@")
    if folder.exists() or not _NAME.fullmatch(name):
        raise InputError(f"{path}: {source} is no folder, and no model of the hub: those are called owner/name")
    return _snapshot(name, revision or None, path=path)


def _snapshot(name: str, revision: str | None, *, path: str) -> Path:
    import huggingface_hub
    from huggingface_hub import errors

    _quieten()
    allowed = hub_is_allowed()
    try:
        with hub_reachable(allowed):
            folder = huggingface_hub.snapshot_download(
                name, revision=revision, allow_patterns=WANTED, local_files_only=not allowed
            )
    except errors.GatedRepoError:
        raise InputError(
            f"{path}: {name} is gated: ask for access at https://huggingface.co/{name}, then log in with "
            "`hf auth login`"
        ) from None
    except errors.RevisionNotFoundError:
        raise InputError(f"{path}: {name} has no revision '{revision}' on the hub; name it alone for main") from None
    except errors.RepositoryNotFoundError:
        raise InputError(
            f"{path}: there is no folder '{name}', and the hub has no public model of that name; "
            "look for it at https://huggingface.co/models"
        ) from None
    except Exception as error:
        # Not only the library's errors: a proxy, a resolver or a full disk has its own.
        log.info("fetching %s failed: %s", name, " ".join(str(error).split()))
        why = "the hub does not give it" if allowed else f"{OFFLINE} is set"
        raise InputError(
            f"{path}: there is no folder '{name}', and this machine's cache does not hold the hub's model of that "
            f"name{f' at {revision}' if revision else ''} ({why}); {_WITHOUT_NETWORK}"
        ) from None
    log.info("reading %s at revision %s", name, Path(folder).name)
    return Path(folder)


def _quieten() -> None:
    import huggingface_hub.utils

    if not sys.stderr.isatty():
        huggingface_hub.utils.disable_progress_bars()
    # What goes wrong is said once, by us.
    huggingface_hub.utils.logging.set_verbosity_error()


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the model's weights; each is whole.

    Raises: InputError if there are none, one is missing, damaged, or no safetensors file whatever it is called.
    """
    if (folder / INDEX_NAME).is_file():
        places = read_json(folder / INDEX_NAME).get("weight_map")
        names = sorted({str(name) for name in places.values()}) if isinstance(places, dict) else []
        if not names or any(Path(name).name != name or utf8_length(name) > LONGEST_NAME for name in names):
            raise InputError(f"{folder / INDEX_NAME} does not say which files of its folder hold the weights")
    else:
        names = [WEIGHTS_NAME]
    for name in names:
        _check_weights(folder / name)
    return [folder / name for name in names]


def _check_weights(path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        others = sorted(found.name for found in path.parent.glob("*.bin")) + sorted(
            found.name for found in path.parent.glob("*.pt*")
        )
        found = f" (found {others[0]}, which may hold code and is not opened)" if others else ""
        raise InputError(f"{path} does not exist{found}: weights are read from safetensors files alone")
    try:
        with safe_open(path, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is damaged, or no safetensors file ({error}): get it again") from None


def building_bytes(files: Sequence[Path]) -> int:
    """Memory that a model with the weights of these files may take while it is built; settings may ask for any size."""
    return _BUILDING_BYTES + _BUILDING_TIMES * sum(path.stat().st_size for path in files)


def num_tensors(files: Sequence[Path]) -> int:
    """How many tensors these files, which `weight_files` has seen, hold."""
    from safetensors import safe_open

    found = 0
    for path in files:
        with safe_open(path, framework="numpy") as weights:
            found += len(weights.keys())
    return found


def check_depth(settings: Any, *, tensors: int, path: str) -> None:
    """Raise InputError where settings ask for far more layers than there are tensors: no end to building them."""
    if not isinstance(settings, Mapping):
        return
    for key, value in settings.items():
        is_depth = isinstance(value, int) and any(part in str(key) for part in _BUILT_IN_TURN)
        if is_depth and value > tensors + _MORE_LAYERS:
            raise InputError(f"{path}.{key}: {value} is far more than the {tensors} tensors of the weights can be")
        check_depth(value, tensors=tensors, path=f"{path}.{key}")


def weights_digest(folder: Path) -> str:
    """The digest of the weights' file, or of the digests of its parts."""
    files = weight_files(folder)
    return file_digest(files[0]) if len(files) == 1 else digest_of([file_digest(path) for path in files])
