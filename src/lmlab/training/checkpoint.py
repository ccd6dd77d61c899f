"""Resume checkpoints: everything that the rest of a training depends on, replaced as a whole.

Random states need no place in them: each step seeds torch from the training's seed and its own number.
"""

import hashlib
import io
import pickle
from pathlib import Path

import torch

from lmlab.errors import InputError
from lmlab.files import lasting_write

FILE_NAME = "resume.pt"
_DIGEST_BYTES = hashlib.sha256().digest_size


def write_checkpoint(folder: Path, content: dict) -> None:
    """Replace the folder's checkpoint; a kill at any moment leaves the old one or the new one."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    payload = buffer.getvalue()
    lasting_write(folder / FILE_NAME, hashlib.sha256(payload).digest() + payload)


def read_checkpoint(folder: Path) -> dict | None:
    """The folder's checkpoint, or None if there is none.

    Raises: InputError if its bytes are not those that were written.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return None
    stored = path.read_bytes()
    digest, payload = stored[:_DIGEST_BYTES], stored[_DIGEST_BYTES:]
    if hashlib.sha256(payload).digest() != digest:
        raise InputError(f"{path} is damaged (its digest does not fit): delete it to train from the start")
    try:
        return torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError) as error:
        raise InputError(f"{path} is not a checkpoint ({error}): delete it to train from the start") from None
