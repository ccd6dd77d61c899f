"""Whether a GPU computes, and the memory that it takes."""

import torch

from lmlab.errors import InputError
from lmlab.runtime import RuntimeSettings


def uses_gpu(runtime: RuntimeSettings) -> bool:
    """What `runtime.accelerator` comes to on this machine.

    Raises: InputError if a GPU is asked for and torch finds none.
    """
    found = torch.cuda.is_available()
    if runtime.accelerator == "gpu" and not found:
        raise InputError("runtime.accelerator: torch finds no GPU here, found 'gpu'; 'cpu' or 'auto' would do")
    return found and runtime.accelerator != "cpu"


def forget_peak_gpu_memory() -> None:
    """Let the peak begin anew with what is held now."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_gpu_memory_megabytes() -> float:
    """The most that tensors of this process held at once on its GPU, in megabytes of 10^6 bytes; 0 without one."""
    return torch.cuda.max_memory_allocated() / 1e6 if torch.cuda.is_available() else 0.0
