"""Settings of the machine that a stage runs on; none of them changes a result beyond its last digits."""

from typing import Literal

from pydantic import Field

from lmlab.config import PositiveInt, Settings


class RuntimeSettings(Settings):
    """Devices, threads and how often to look up from work; no stage tracks these and no fingerprint holds them."""

    accelerator: Literal["auto", "cpu", "gpu"]
    devices: PositiveInt
    """Processes of a training on this machine, each with a GPU where there are any; they share every batch."""
    strategy: Literal["ddp", "fsdp"]
    """Where several processes train: each holds all weights (ddp), or a part of each (fsdp), which saves memory."""
    threads: PositiveInt | None
    """Threads of torch in each process, and processes of cleaning; None shares out the cores."""
    workers: int = Field(ge=0)
    """Processes that load batches; 0 loads them in the training process."""
    checkpoint_every_seconds: float = Field(ge=0)
    """How much training a kill may cost at most."""
    tracking: bool
    """Whether MLflow records the run."""
