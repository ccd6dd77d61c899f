"""The parts of a text, worked on by those whom `runtime.preparation` names; results come in the parts' order.

    processes    of this machine, once there are enough parts
    submitit     jobs of Slurm, each with several parts
    ray          tasks of a Ray cluster, each with one part

What a part comes to is a function of the part alone, so that nothing written depends on who worked on it.
"""

import tempfile
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, NamedTuple, TypeVar

from lmlab.clusters import ray_cluster, submitit_executor, wait_for_local
from lmlab.data.pool import ITEMS_A_PROCESS, handed_over, in_order, num_cores
from lmlab.errors import InputError
from lmlab.runtime import RayPreparation, RuntimeSettings, SlurmPreparation

PartT = TypeVar("PartT")
ResultT = TypeVar("ResultT")

# Parts are pure: another try on another worker gives the same.
RAY_TRIES = 4


def each_of(
    work: Callable[[PartT], Iterable[ResultT]],
    parts: Iterable[PartT],
    *,
    runtime: RuntimeSettings,
    num_here: int,
    folder: Path,
) -> Iterator[ResultT]:
    """All that `work`, which can be pickled, makes of each part.

    With processes, the first `num_here` parts are worked on in this one, and their results are taken one by one;
    `folder` is where a cluster's jobs leave their files meanwhile. Few parts are with the workers at once, so that
    memory stays flat.
    Raises: InputError if a worker is lost, or the cluster is not there.
    """
    preparation = runtime.preparation
    whole = partial(_whole, work)
    if preparation.name == "processes":
        parts, processes = iter(parts), runtime.threads or num_cores()
        for part in parts if processes == 1 else islice(parts, num_here):
            yield from work(part)
        found = in_order(whole, parts, processes=processes, num_here=0)
    elif preparation.name == "submitit":
        found = _by_slurm(whole, parts, preparation, folder)
    else:
        found = _by_ray(whole, parts, preparation)
    for results in found:
        yield from results


def _whole(work: Callable[[PartT], Iterable[ResultT]], part: PartT) -> list[ResultT]:
    return list(work(part))


def _by_slurm(
    work: Callable[[PartT], ResultT], parts: Iterable[PartT], jobs: SlurmPreparation, folder: Path
) -> Iterator[ResultT]:
    # A job that is cancelled may still write there.
    with tempfile.TemporaryDirectory(prefix=".jobs-", dir=folder, ignore_cleanup_errors=True) as logs:
        executor = submitit_executor(jobs, setting="runtime/preparation=submitit", logs=Path(logs), cpus=1, gpus=0)

        # No more are out at once.
        latest: deque[Any] = deque(maxlen=jobs.num_workers)

        def submit(group: list[PartT]) -> _SlurmJob[list[ResultT]]:
            latest.append(executor.submit(_tried, partial(_all, work), group))
            return _SlurmJob(latest[-1])

        try:
            for found in handed_over(submit, _grouped(parts, jobs.parts_per_job), jobs.num_workers):
                yield from found
        finally:
            wait_for_local(latest)


def _by_ray(work: Callable[[PartT], ResultT], parts: Iterable[PartT], preparation: RayPreparation) -> Iterator[ResultT]:
    asked = {"setting": "runtime/preparation=ray", "path": "runtime.preparation.address"}
    with ray_cluster(preparation.address, num_cpus=num_cores(), **asked) as ray:
        task = ray.remote(_tried).options(num_cpus=1, max_retries=RAY_TRIES - 1)

        def submit(part: PartT) -> _RayTask[ResultT]:
            return _RayTask(ray, task.remote(work, part))

        num_processors = int(ray.cluster_resources().get("CPU", 1))
        yield from handed_over(submit, parts, ITEMS_A_PROCESS * max(1, num_processors))


def _grouped(parts: Iterable[PartT], size: int) -> Iterator[list[PartT]]:
    parts = iter(parts)
    while group := list(islice(parts, size)):
        yield group


def _all(work: Callable[[PartT], ResultT], parts: list[PartT]) -> list[ResultT]:
    return [work(part) for part in parts]


class _Failed(NamedTuple):
    """What the work itself raised: a cluster would wrap it in an error of its own."""

    error: Exception


def _tried(work: Callable[[PartT], ResultT], part: PartT) -> ResultT | _Failed:
    try:
        return work(part)
    except Exception as error:
        error.add_note(traceback.format_exc())
        return _Failed(error)


def _unwrapped(found: Any) -> Any:
    if isinstance(found, _Failed):
        raise found.error
    return found


class _SlurmJob(Generic[ResultT]):
    """A job, whose files go when it has been waited for."""

    def __init__(self, job: Any) -> None:
        self._job = job

    def result(self) -> ResultT:
        from submitit.core.utils import FailedJobError, UncompletedJobError

        try:
            return _unwrapped(self._job.result())
        except (FailedJobError, UncompletedJobError) as error:
            raise InputError(
                f"a job of runtime/preparation=submitit was lost (state {self._job.state}, its last words: "
                f"{_last_line(self._job.stderr() or str(error))}): run the same command again, with more of "
                "runtime.preparation.memory_gigabytes or timeout_minutes if it lacked that"
            ) from None
        finally:
            paths = self._job.paths
            for path in (paths.submitted_pickle, paths.result_pickle):
                path.unlink(missing_ok=True)

    def cancel(self) -> None:
        self._job.cancel(check=False)


class _RayTask(Generic[ResultT]):
    """A task, which Ray tries again where its worker or its machine is lost."""

    def __init__(self, ray: ModuleType, reference: Any) -> None:
        self._ray, self._reference = ray, reference

    def result(self) -> ResultT:
        try:
            return _unwrapped(self._ray.get(self._reference))
        except self._ray.exceptions.RayTaskError as error:
            raise InputError(f"a task of runtime/preparation=ray could not begin: {_last_line(str(error))}") from None
        except self._ray.exceptions.RayError as error:
            raise InputError(
                f"a task of runtime/preparation=ray was lost in each of {RAY_TRIES} tries "
                f"({str(error).strip().partition(chr(10))[0]}): run the same command again when the cluster is well"
            ) from None

    def cancel(self) -> None:
        self._ray.cancel(self._reference, force=True)


def _last_line(text: str) -> str:
    return (text.strip() or "nothing").splitlines()[-1]
