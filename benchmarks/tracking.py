"""What a point of a curve costs: until the training goes on, and until it is in the store.

lmlab's run against bare calls of MLflow, each on an SQLite store of its own; lmlab's store has a write-ahead log.

Example: python -m benchmarks.tracking --points 400
"""

import argparse
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple

from benchmarks.measuring import OURS, Case, in_turns, report
from lmlab.run import Run
from lmlab.tracking import RunIdentity, tracked_run
from lmlab.tracking.tracker import tracked_apart

POINTS_PER_LOG = 4
"""Metrics that a training logs at once."""
STEPS_PER_LOG = 20
BATCH = 1000
"""What MLflow takes in one call."""
KEYS = [f"metric{number}" for number in range(POINTS_PER_LOG)]


class MlflowStore(NamedTuple):
    """An SQLite store as MLflow makes it, with one run."""

    address: str
    run_id: str


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=200, help="a round (default: 200)")
    parser.add_argument("--rounds", type=int, default=5, help="default: 5")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        cases = _cases(Path(scratch), options.points // POINTS_PER_LOG, options.rounds)
    report("tracking", "What does a point of a curve cost?", cases, notes=notes(cases))


def notes(cases: list[Case]) -> str:
    """What the figures come to in the default training."""
    milliseconds = statistics.median(cases[0].values[OURS])
    return (
        f"The default training logs {POINTS_PER_LOG} points every {STEPS_PER_LOG} steps: tracking costs it "
        f"{milliseconds * POINTS_PER_LOG / STEPS_PER_LOG * 1000:.2g} microseconds a step. They are in the store 3 "
        "seconds later. The trainings of a sweep log by a thread, all others by a process of its own."
    )


def _cases(folder: Path, num_logs: int, rounds: int) -> list[Case]:
    plain, logged = _mlflow_store(folder / "plain.db"), _mlflow_store(folder / "logged.db")
    with closing(sqlite3.connect(folder / "logged.db")) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    one_by_one, batches, asynchronous = _by_log_metric(plain), _by_log_batch(plain), _asynchronously(plain)
    with _by_process(folder / "process") as by_process, _by_thread(folder / "thread") as by_thread:
        waits = {
            OURS: by_process.wait,
            "lmlab, in a sweep": by_thread.wait,
            "mlflow.log_metric": one_by_one.wait,
            "mlflow.log_metric, write-ahead log": _by_log_metric(logged).wait,
            "MlflowClient.log_batch of 4 points": batches.wait,
            "mlflow.log_metrics, asynchronous": asynchronous.wait,
        }
        stored = {
            OURS: by_thread.deliver,
            "mlflow.log_metric": one_by_one.deliver,
            "MlflowClient.log_batch of all points": batches.deliver,
            "mlflow.log_metrics, asynchronous": asynchronous.deliver,
        }
        return [
            Case(
                title, "ms", False, in_turns({name: _timed(way, num_logs) for name, way in ways.items()}, rounds=rounds)
            )
            for title, ways in (("a point, until the training goes on", waits), ("a point, until it is stored", stored))
        ]


class Way(NamedTuple):
    """Logs so many times: `wait` as a training does, `deliver` until the store has it."""

    wait: Callable[[int], object]
    deliver: Callable[[int], object]


def _timed(log: Callable[[int], object], num_logs: int) -> Callable[[], float]:
    def milliseconds_a_point() -> float:
        began = time.perf_counter()
        log(num_logs)
        return (time.perf_counter() - began) * 1000 / (num_logs * POINTS_PER_LOG)

    return milliseconds_a_point


@contextmanager
def _by_thread(project: Path) -> Iterator[Way]:
    project.mkdir()
    with tracked_run(project, _identity()) as run:
        wait = _logging_to(run)

        def deliver(num_logs: int) -> None:
            wait(num_logs)
            run.flush()  # type: ignore[attr-defined]

        yield Way(wait, deliver)


@contextmanager
def _by_process(project: Path) -> Iterator[Way]:
    project.mkdir()
    with tracked_apart(project, _identity()) as run:
        yield Way(_logging_to(run), _logging_to(run))


def _logging_to(run: Run) -> Callable[[int], None]:
    steps = count(1)

    def log(num_logs: int) -> None:
        for _ in range(num_logs):
            run.log_metrics(dict.fromkeys(KEYS, 1.0), step=next(steps))

    return log


def _identity() -> RunIdentity:
    return RunIdentity("benchmark", "benchmark", {"seed": 1}, "", "", None)


def _mlflow_store(database: Path) -> MlflowStore:
    from mlflow import MlflowClient

    address = f"sqlite:///{database}"
    client = MlflowClient(tracking_uri=address)
    experiment = client.create_experiment("benchmark", artifact_location=database.with_suffix("").as_uri())
    return MlflowStore(address, client.create_run(experiment).info.run_id)


def _by_log_metric(store: MlflowStore) -> Way:
    import mlflow

    steps = count(1)

    def log(num_logs: int) -> None:
        mlflow.set_tracking_uri(store.address)
        for step in (next(steps) for _ in range(num_logs)):
            for key in KEYS:
                mlflow.log_metric(key, 1.0, step=step, run_id=store.run_id)

    return Way(log, log)


def _by_log_batch(store: MlflowStore) -> Way:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    client, steps = MlflowClient(tracking_uri=store.address), count(1)

    def log(points: list[Metric]) -> None:
        for start in range(0, len(points), BATCH):
            client.log_batch(store.run_id, metrics=points[start : start + BATCH])

    def points_of(step: int) -> list[Metric]:
        return [Metric(key, 1.0, 0, step) for key in KEYS]

    def wait(num_logs: int) -> None:
        for _ in range(num_logs):
            log(points_of(next(steps)))

    def deliver(num_logs: int) -> None:
        log([point for _ in range(num_logs) for point in points_of(next(steps))])

    return Way(wait, deliver)


def _asynchronously(store: MlflowStore) -> Way:
    import mlflow

    steps = count(1)

    def wait(num_logs: int) -> None:
        mlflow.set_tracking_uri(store.address)
        for _ in range(num_logs):
            mlflow.log_metrics(dict.fromkeys(KEYS, 1.0), step=next(steps), run_id=store.run_id, synchronous=False)

    def deliver(num_logs: int) -> None:
        wait(num_logs)
        mlflow.flush_async_logging()

    return Way(wait, deliver)


if __name__ == "__main__":
    main()
