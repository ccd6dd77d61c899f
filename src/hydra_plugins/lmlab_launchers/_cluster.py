"""Jobs on a cluster: by submitit (Slurm) and by Ray. All machines see the project's folder under the same path."""

import importlib
import logging
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from hydra.core.utils import JobReturn

from hydra_plugins.lmlab_launchers import died
from hydra_plugins.lmlab_launchers._settings import RaySettings, SubmititSettings
from hydra_plugins.lmlab_launchers._shipping import Shipment, unpack_and_run
from lmlab.errors import InputError


def run_by_submitit(jobs: Sequence[Shipment], settings: SubmititSettings, *, logs: Path) -> list[JobReturn]:
    """Submit the jobs and wait for them; an interrupted sweep cancels those that are still queued or running."""
    submitit = _needed("submitit", launcher="submitit", extra="slurm")
    executor = submitit.AutoExecutor(folder=logs, cluster=settings.cluster)
    executor.update_parameters(
        name="lmlab",
        timeout_min=settings.timeout_minutes,
        mem_gb=settings.memory_gigabytes,
        cpus_per_task=settings.cpus_per_job,
        gpus_per_node=settings.gpus_per_job,
        slurm_array_parallelism=settings.num_workers,
        **({"slurm_partition": settings.partition} if settings.partition else {}),
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
        raise


def _result(submitted: Any, job: Shipment) -> JobReturn:
    from submitit.core.utils import UncompletedJobError

    try:
        return submitted.result()
    except UncompletedJobError:
        return died(job, f"log: {submitted.paths.stderr}")


def run_by_ray(jobs: Sequence[Shipment], settings: RaySettings) -> list[JobReturn]:
    """Run the jobs as tasks of Ray; the connection ends with them."""
    ray = _needed("ray", launcher="ray", extra="ray")
    quiet = {"include_dashboard": False} if settings.address is None else {}
    size = {"num_cpus": settings.num_workers * settings.cpus_per_job} if settings.address is None else {}
    ray.init(settings.address, log_to_driver=False, logging_level=logging.ERROR, **quiet, **size)
    try:
        task = ray.remote(unpack_and_run).options(
            num_cpus=settings.cpus_per_job, num_gpus=settings.gpus_per_job, max_retries=0
        )
        return [_ray_result(ray, reference, job) for reference, job in [(task.remote(job), job) for job in jobs]]
    finally:
        ray.shutdown()


def _ray_result(ray: ModuleType, reference: object, job: Shipment) -> JobReturn:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError:
        # What the job itself raised.
        raise
    except ray.exceptions.RayError as error:
        # Its worker, its machine or its memory is gone.
        return died(job, str(error).strip().partition("\n")[0])


def _needed(package: str, *, launcher: str, extra: str) -> ModuleType:
    try:
        return importlib.import_module(package)
    except ImportError:
        raise InputError(
            f"hydra/launcher={launcher} needs the package {package}: pip install -c constraints.txt -e '.[{extra}]'"
        ) from None
