"""Jobs in processes of this machine: a worker process for each job at a time, kept for the next one."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from queue import Queue

import psutil
from hydra.core.utils import JobReturn

# Here and not where they are used: two threads that import loky at once find it half imported.
from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import TerminatedWorkerError

from hydra_plugins.lmlab_launchers import died
from hydra_plugins.lmlab_launchers._shipping import Shipment, unpack_and_run

GRACE_SECONDS = 30
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def run_in_processes(jobs: Sequence[Shipment], *, num_workers: int, threads: int) -> list[JobReturn]:
    """Run the jobs in so many processes, each with so many threads; a process that dies takes its own job with it."""
    workers: Queue[Worker] = Queue()
    for _ in range(num_workers):
        workers.put(Worker(dict.fromkeys(THREAD_VARIABLES, str(threads))))

    def run(job: Shipment) -> JobReturn:
        worker = workers.get()
        try:
            return worker.run(job)
        finally:
            workers.put(worker)

    waiting_threads = ThreadPoolExecutor(num_workers)
    waiting = [waiting_threads.submit(run, job) for job in jobs]
    try:
        results = [job.result() for job in waiting]
    except BaseException:
        _end(waiting)
        raise
    finally:
        waiting_threads.shutdown(cancel_futures=True, wait=False)
    while not workers.empty():
        workers.get().close()
    return results


class Worker:
    """A process that runs one job after another; a new one takes the place of one that died."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._pool: ProcessPoolExecutor | None = None

    def run(self, job: Shipment) -> JobReturn:
        """What the job returned."""
        # A pool of one: a larger one breaks as a whole when a process dies.
        self._pool = self._pool or ProcessPoolExecutor(max_workers=1, env=self._environment)
        try:
            return self._pool.submit(unpack_and_run, job).result()
        except TerminatedWorkerError as error:
            self._pool.shutdown(kill_workers=True)
            self._pool = None
            return died(job, str(error).splitlines()[0])

    def close(self) -> None:
        """End the process, which has nothing left to do."""
        if self._pool is not None:
            self._pool.shutdown()


def _end(waiting: Sequence[Future]) -> None:
    """Let the jobs that run end in an orderly way, and leave no process behind."""
    for job in waiting:
        job.cancel()
    children = psutil.Process().children(recursive=True)
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.terminate()
    wait([job for job in waiting if not job.cancelled()], timeout=GRACE_SECONDS)
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()
