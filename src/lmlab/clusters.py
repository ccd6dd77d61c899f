"""Clusters that work is sent to: Slurm, by submitit, and Ray. Both packages are extras, imported where they are chosen.

All machines of a cluster see the project's folder under the same path.
"""

import importlib
import logging
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from lmlab.errors import InputError
from lmlab.runtime import SlurmJobs

SECONDS_TO_ANSWER = 10
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def needed(package: str, *, setting: str, extra: str) -> ModuleType:
    """The package that this setting needs.

    Raises: InputError that says what to install, where the package is not there.
    """
    try:
        return importlib.import_module(package)
    except ImportError:
        raise InputError(
            f"{setting} needs the package {package}: pip install -c constraints.txt -e '.[{extra}]'"
        ) from None


def submitit_executor(jobs: SlurmJobs, *, setting: str, logs: Path, cpus: int, gpus: int) -> Any:
    """What jobs are submitted to, each with so many processors; `setting` says in an error who asked for it."""
    submitit = needed("submitit", setting=setting, extra="slurm")
    executor = submitit.AutoExecutor(folder=logs, cluster=jobs.cluster)
    executor.update_parameters(
        name="lmlab",
        timeout_min=jobs.timeout_minutes,
        mem_gb=jobs.memory_gigabytes,
        cpus_per_task=cpus,
        gpus_per_node=gpus,
        slurm_array_parallelism=jobs.num_workers,
        **({"slurm_partition": jobs.partition} if jobs.partition else {}),
    )
    return executor


def wait_for_local(cancelled: Iterable[Any]) -> None:
    """Wait until those of these cancelled jobs that are processes of this machine are gone: a second or two."""
    from submitit import LocalJob

    for job in cancelled:
        if isinstance(job, LocalJob):
            job.wait()


@contextmanager
def ray_cluster(address: str | None, *, setting: str, path: str, num_cpus: int) -> Iterator[ModuleType]:
    """The package ray, connected to the cluster at this address, or to a new one here with so many processors.

    `setting` and `path` say in an error who asked for it, and where its address stands.
    Raises: InputError if there is no such cluster.
    """
    ray = needed("ray", setting=setting, extra="ray")
    if ray.is_initialized():
        # A task of the cluster: the connection is not ours to end.
        yield ray
        return
    # Ray heeds this variable before any address.
    address = os.environ.get("RAY_ADDRESS") or address
    here = {"include_dashboard": False, "num_cpus": num_cpus} if address is None else {}
    if address is not None:
        _check_answers(ray, address, path)
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **here)
    except (ConnectionError, ValueError) as error:
        raise InputError(
            f"{path}: no Ray cluster at {address} ({error}): give HOST:PORT of its head, and where the cluster asks "
            "for a token set RAY_AUTH_MODE=token"
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_answers(ray: ModuleType, address: str, path: str) -> None:
    """Ray itself would wait for ever for a cluster that is not there."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():
        return
    if host in LOOPBACK:
        # As Ray reads it.
        host = ray.util.get_node_ip_address()
    try:
        socket.create_connection((host, int(port)), timeout=SECONDS_TO_ANSWER).close()
    except (OSError, OverflowError) as error:
        raise InputError(
            f"{path}: nothing answers at {host}:{port} ({error}): start the cluster, or give HOST:PORT of its head"
        ) from None
