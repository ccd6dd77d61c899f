"""Settings of the launchers; their values stand in conf/hydra/launcher/."""

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

from lmlab.config import PositiveFloat, PositiveInt, Settings, validate

SettingsT = TypeVar("SettingsT", bound=Settings)


class JoblibSettings(Settings):
    """Processes on this machine."""

    num_workers: PositiveInt
    """Jobs side by side."""

    @property
    def threads_per_job(self) -> int:
        """The cores of this machine, shared out."""
        return max(1, (os.cpu_count() or 1) // self.num_workers)


class SubmititSettings(Settings):
    """Jobs of a Slurm cluster."""

    cluster: Literal["slurm", "local"]
    partition: str | None
    num_workers: PositiveInt
    """Jobs side by side."""
    cpus_per_job: PositiveInt
    gpus_per_job: Annotated[int, Field(ge=0)]
    memory_gigabytes: PositiveFloat
    timeout_minutes: PositiveInt


class RaySettings(Settings):
    """Tasks of a Ray cluster."""

    address: str | None
    """The cluster's address; null starts Ray on this machine for as long as the sweep takes."""
    num_workers: PositiveInt
    """Jobs side by side, where Ray is started for the sweep."""
    cpus_per_job: PositiveInt
    gpus_per_job: Annotated[float, Field(ge=0)]


def checked(kind: type[SettingsT], values: Mapping[str, Any]) -> SettingsT:
    """The typed settings.

    Raises: InputError that names the setting that does not fit.
    """
    return validate(kind, values, path="hydra.launcher")
