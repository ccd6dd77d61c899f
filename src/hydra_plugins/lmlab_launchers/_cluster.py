"""Jobs on a cluster: by submitit (Slurm) and by Ray. All machines see the project's folder under the same path."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from hydra.core.utils import JobReturn

from hydra_plugins.lmlab_launchers import died
from hydra_plugins.lmlab_launchers._settings import RaySettings, SubmititSettings
from hydra_plugins.lmlab_launchers._shipping import Shipment, unpack_and_run
from lmlab.clusters import ray_cluster, submitit_executor, wait_for_local

log = logging.getLogger("lmlab")


def run_by_submitit(jobs: Sequence[Shipment], settings: SubmititSettings, *, logs: Path) -> list[JobReturn]:
    """Submit the jobs and wait for them; an interrupted sweep cancels those that are still queued or running."""
    executor = submitit_executor(
        settings, setting="hydra/launcher=submitit", logs=logs, cpus=settings.cpus_per_job, gpus=settings.gpus_per_job
    )
    # Slurm holds back what is too much at once; the local executor starts all that it is given.
    size = len(jobs) if settings.cluster == "slurm" else settings.num_workers
    return [
        result
        for start in range(0, len(jobs), size)
        for result in _wait_for(executor.map_array(unpack_and_run, jobs[start : start + size]), jobs[start:])
    ]


def _wait_for(submitted: Sequence[Any], jobs: Sequence[Shipment]) -> list[JobReturn]:
    try:
        return [_result(one, job) for one, job in zip(submitted, jobs, strict=False)]
    except BaseException:
        for one in submitted:
            one.cancel()
        wait_for_local(submitted)
        raise


def _result(submitted: Any, job: Shipment) -> JobReturn:
    from submitit.core.utils import UncompletedJobError

    try:
        return submitted.result()
    except UncompletedJobError:
        return died(job, f"log: {submitted.paths.stderr}")


def run_by_ray(jobs: Sequence[Shipment], settings: RaySettings) -> list[JobReturn]:
    """Run the jobs as tasks of Ray; the connection ends with them."""
    num_cpus = settings.num_workers * settings.cpus_per_job
    asked = {"setting": "hydra/launcher=ray", "path": "hydra.launcher.address"}
    with ray_cluster(settings.address, num_cpus=num_cpus, **asked) as ray:
        # Not Ray's own tries: a job that fills its machine's memory would kill one worker after another.
        task = ray.remote(unpack_and_run).options(
            num_cpus=settings.cpus_per_job, num_gpus=settings.gpus_per_job, max_retries=0
        )
        submitted = [(job, task.remote(job)) for job in jobs]
        return [_ray_result(ray, reference, job, again=task.remote) for job, reference in submitted]


def _ray_result(ray: ModuleType, reference: Any, job: Shipment, *, again: Callable[[Shipment], Any]) -> JobReturn:
    """What the job returned; where its machine was lost, in a second try, which goes on after the last checkpoint."""
    try:
        try:
            return ray.get(reference)
        except ray.exceptions.NodeDiedError:
            log.warning("%s: its machine is lost; started again", job.name)
            return ray.get(again(job))
    except ray.exceptions.RayTaskError:
        # What the job itself raised.
        raise
    except ray.exceptions.RayError as error:
        # Its worker, its machine or its memory is gone.
        return died(job, str(error).strip().partition("\n")[0])
