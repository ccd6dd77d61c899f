"""A job on its way to another process, which may run on another machine with the same files."""

import os
import signal
import sys
import threading
from typing import NamedTuple

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class Shipment(NamedTuple):
    """A job as bytes, with where it finds the project's modules and files."""

    name: str
    folder: str
    path: list[str]
    content: bytes


def pack(context: HydraContext, task_function: TaskFunction, config: DictConfig, *, name: str) -> Shipment:
    """The job as bytes: a task function that no module holds travels by value."""
    import cloudpickle

    content = cloudpickle.dumps((context, task_function, config, Singleton.get_state()))
    path = [os.path.abspath(entry) for entry in sys.path]  # noqa: PTH100 -- an empty entry is the working folder
    return Shipment(name, os.getcwd(), path, content)  # noqa: PTH109


def unpack_and_run(shipment: Shipment) -> JobReturn:
    """Run the job in this process, which SIGTERM ends in an orderly way."""
    import cloudpickle

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    os.chdir(shipment.folder)
    sys.path[:] = list(dict.fromkeys([*shipment.path, *sys.path]))
    context, task_function, config, state = cloudpickle.loads(shipment.content)
    setup_globals()
    Singleton.set_state(state)
    return run_job(
        hydra_context=context,
        task_function=task_function,
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )
