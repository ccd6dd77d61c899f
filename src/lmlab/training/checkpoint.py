"""Resume checkpoints: everything that the rest of a training depends on, and the weights of its best validation.

Each file is replaced as a whole and begins with its own digest. Random states need no place in them: each step seeds
torch from the training's seed and its own number.
"""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from lmlab.errors import InputError
from lmlab.files import lasting_write

FILE_NAME = "resume.pt"
BEST_NAME = "best.weights"
_DIGEST_BYTES = hashlib.sha256().digest_size


def write_checkpoint(folder: Path, content: dict) -> None:
    """Replace the folder's checkpoint; a kill at any moment leaves the old one or the new one."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    _write_sealed(folder / FILE_NAME, buffer.getvalue())


def read_checkpoint(folder: Path) -> dict | None:
    """The folder's checkpoint, or None if there is none.

    Raises: InputError if its bytes are not those that were written.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return None
    try:
        return torch.load(io.BytesIO(_read_sealed(path)), map_location="cpu", weights_only=True)
    except Exception as error:  # torch's reader stumbles over foreign bytes in many ways
        raise InputError(f"{path} is not a checkpoint ({error}): delete {folder} to train from the start") from None


def write_best(folder: Path, weights: Mapping[str, Tensor]) -> None:
    """Replace the folder's best weights; a kill at any moment leaves the old ones or the new ones."""
    _write_sealed(folder / BEST_NAME, safetensors.torch.save(dict(weights)))


def read_best(folder: Path) -> dict[str, Tensor]:
    """The folder's best weights, on the CPU.

    Raises: InputError if they are missing, or their bytes are not those that were written.
    """
    return safetensors.torch.load(_read_sealed(folder / BEST_NAME))


def _write_sealed(path: Path, payload: bytes) -> None:
    lasting_write(path, hashlib.sha256(payload).digest() + payload)


def _read_sealed(path: Path) -> bytes:
    try:
        stored = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} is missing: delete {path.parent} to train from the start") from None
    digest, payload = stored[:_DIGEST_BYTES], stored[_DIGEST_BYTES:]
    if hashlib.sha256(payload).digest() != digest:
        raise InputError(f"{path} is damaged (its digest does not fit): delete {path.parent} to train from the start")
    return payload
