"""Settings of the machine that a stage runs on; none of them changes a result beyond its last digits."""

from typing import Annotated, Literal

from pydantic import Field

from lmlab.config import PositiveFloat, PositiveInt, Settings


class ProcessPreparation(Settings):
    """Processes of this machine, as many as `runtime.threads` says."""

    name: Literal["processes"]


class SlurmJobs(Settings):
    """Jobs of a Slurm cluster, which submitit asks for."""

    cluster: Literal["slurm", "local"]
    """Slurm, or processes of this machine, to try it out."""
    partition: str | None
    num_workers: PositiveInt
    """Jobs side by side."""
    memory_gigabytes: PositiveFloat
    timeout_minutes: PositiveInt


class SlurmPreparation(SlurmJobs):
    """Jobs of a Slurm cluster with several parts each: a job takes seconds to start."""

    name: Literal["submitit"]
    parts_per_job: PositiveInt


class RayPreparation(Settings):
    """Tasks of a Ray cluster, as many as it has processors for."""

    name: Literal["ray"]
    address: str
    """The cluster's address; auto is that of the cluster which this machine is part of."""


class RuntimeSettings(Settings):
    """Devices, threads and how often to look up from work; no stage tracks these and no fingerprint holds them."""

    accelerator: Literal["auto", "cpu", "gpu"]
    devices: PositiveInt
    """Processes of a training on this machine, each with a GPU where there are any; they share every batch."""
    strategy: Literal["ddp", "fsdp"]
    """Where several processes train: each holds all weights (ddp), or a part of each (fsdp), which saves memory."""
    threads: PositiveInt | None
    """Threads of torch in each process, and processes of cleaning and encoding; null shares out the cores."""
    preparation: Annotated[ProcessPreparation | SlurmPreparation | RayPreparation, Field(discriminator="name")]
    """Who cleans and encodes the parts of a large text; what they write is the same."""
    workers: int = Field(ge=0)
    """Processes that load batches; 0 loads them in the training process."""
    checkpoint_every_seconds: float = Field(ge=0)
    """How much training a kill may cost at most."""
    tracking: bool
    """Whether MLflow records the run."""
