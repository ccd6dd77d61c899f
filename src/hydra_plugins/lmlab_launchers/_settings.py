"""Settings of the launchers; their values stand in conf/hydra/launcher/."""

import os
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import Field

from lmlab.config import PositiveInt, Settings, validate
from lmlab.runtime import SlurmJobs

SettingsT = TypeVar("SettingsT", bound=Settings)


class JoblibSettings(Settings):
    """Processes on this machine."""

    num_workers: PositiveInt
    """Jobs side by side."""

    @property
    def threads_per_job(self) -> int:
        """The cores of this machine, shared out."""
        return max(1, (os.cpu_count() or 1) // self.num_workers)


class SubmititSettings(SlurmJobs):
    """Jobs of a Slurm cluster."""

    cpus_per_job: PositiveInt
    gpus_per_job: Annotated[int, Field(ge=0)]


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
