"""Launchers of a sweep's jobs: processes of this machine (joblib), Slurm (submitit), a cluster (Ray).

Hydra finds them here, and imports this file at each start: what is heavy is imported by the launcher that needs it.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, configure_log, filter_overrides, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from hydra_plugins.lmlab_launchers._shipping import Shipment, pack
from lmlab.run import Outcome

log = logging.getLogger("lmlab")


class ProcessLauncher(Launcher):
    """Composes the jobs as Hydra's own launcher does, and has them run in other processes."""

    threads: int
    """Threads for each job."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before `launch`."""
        self._context, self._task_function, self._config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """What each job returned, in their order; a job whose process died is a killed Outcome."""
        setup_globals()
        configure_log(self._config.hydra.hydra_logging, self._config.hydra.verbose)
        Path(str(self._config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        jobs = [self._ship(overrides, initial_job_idx + number) for number, overrides in enumerate(job_overrides)]
        return self.run(jobs)

    def run(self, jobs: Sequence[Shipment]) -> Sequence[JobReturn]:
        """Run the jobs and wait for them."""
        raise NotImplementedError

    def _ship(self, overrides: Sequence[str], number: int) -> Shipment:
        config = self._context.config_loader.load_sweep_config(self._config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
            # Jobs side by side share the cores; what the user set stands.
            if config.runtime.threads is None:
                config.runtime.threads = self.threads
        return pack(self._context, self._task_function, config, name=" ".join(filter_overrides(overrides)))


def died(job: Shipment, why: object) -> JobReturn:
    """What a job whose process ended under it returns: the others go on."""
    error = f"its process died before the job ended ({why})"
    log.warning("%s: %s", job.name, error)
    return JobReturn(
        overrides=job.name.split(" "), status=JobStatus.COMPLETED, _return_value=Outcome("KILLED", {}, error)
    )


class JoblibLauncher(ProcessLauncher):
    """Processes of this machine."""

    def __init__(self, **settings: Any) -> None:
        from hydra_plugins.lmlab_launchers._settings import JoblibSettings, checked

        self._settings = checked(JoblibSettings, settings)
        self.threads = self._settings.threads_per_job

    def run(self, jobs: Sequence[Shipment]) -> Sequence[JobReturn]:
        """Run the jobs, as many at a time as there are workers."""
        from hydra_plugins.lmlab_launchers._local import run_in_processes

        return run_in_processes(jobs, num_workers=self._settings.num_workers, threads=self.threads)


class SubmititLauncher(ProcessLauncher):
    """Jobs of Slurm; or, to try it out, of submitit's local executor."""

    def __init__(self, **settings: Any) -> None:
        from hydra_plugins.lmlab_launchers._settings import SubmititSettings, checked

        self._settings = checked(SubmititSettings, settings)
        self.threads = self._settings.cpus_per_job

    def run(self, jobs: Sequence[Shipment]) -> Sequence[JobReturn]:
        """Submit the jobs and wait for them."""
        from hydra_plugins.lmlab_launchers._cluster import run_by_submitit

        return run_by_submitit(jobs, self._settings, logs=Path(str(self._config.hydra.sweep.dir)) / "submitit")


class RayLauncher(ProcessLauncher):
    """Tasks of a Ray cluster, or of a Ray that is started for the sweep on this machine."""

    def __init__(self, **settings: Any) -> None:
        from hydra_plugins.lmlab_launchers._settings import RaySettings, checked

        self._settings = checked(RaySettings, settings)
        self.threads = self._settings.cpus_per_job

    def run(self, jobs: Sequence[Shipment]) -> Sequence[JobReturn]:
        """Run the jobs as Ray's scheduler places them."""
        from hydra_plugins.lmlab_launchers._cluster import run_by_ray

        return run_by_ray(jobs, self._settings)
