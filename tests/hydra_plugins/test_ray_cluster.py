"""A sweep on a Ray cluster of two nodes on 127.0.0.1: what one process gives, also where a node is lost."""

import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from lmlab.files import file_digest
from lmlab.tracking import open_store
from tests.pipelines.tiny import TINY, TRANSFORMER, command_of, environment, kill_group, new_project, run_command
from tests.ray_nodes import Nodes, two_nodes

pytestmark = pytest.mark.long

# Checkpoints after every step, so that a kill always finds one; trainings long enough to be hit.
SWEEP = [
    *("-m", "training.learning_rate=1e-3,2e-3,3e-3"),
    *(*TINY, *TRANSFORMER, "training.max_steps=150", "training.validate_every_steps=50"),
    "runtime.checkpoint_every_seconds=0",
]
JOB = "ray::unpack_and_run"
OF_THE_MACHINE = re.compile("^system/|^memory/|seconds|tokens_per_second|share_of_peak")


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with two_nodes() as found:
        yield found


@pytest.fixture(scope="module")
def in_one_process(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project after the sweep ran without any cluster."""
    project = new_project(tmp_path_factory.mktemp("one") / "project")
    done = run_command(project, "run", *SWEEP)
    assert done.returncode == 0, done.stderr
    return project


def _start(project: Path, nodes: Nodes) -> subprocess.Popen[str]:
    where = ["hydra/launcher=ray", f"hydra.launcher.address={nodes.address}"]
    return subprocess.Popen(
        command_of("run", *SWEEP, *where),
        cwd=project,
        env=environment() | nodes.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _is_job(process: psutil.Process) -> bool:
    try:
        return " ".join(process.cmdline()).startswith(JOB)
    except psutil.Error:
        return False


def _jobs_of(raylet: int) -> list[psutil.Process]:
    """The workers of this node that have a job."""
    try:
        return [worker for worker in psutil.Process(raylet).children() if _is_job(worker)]
    except psutil.NoSuchProcess:
        return []


def _is_training(raylet: int, project: Path) -> bool:
    """Whether a job of this node is in the middle of its training."""
    for job in _jobs_of(raylet):
        with suppress(psutil.Error):
            for path in (Path(file.path) for file in job.open_files()):
                if path.match("work/train-*.lock") and (_checkpoints(path) / "resume.pt").exists():
                    return True
    return False


def _checkpoints(lock: Path) -> Path:
    return lock.with_name(lock.stem.replace("train-", "checkpoints-"))


def _written(project: Path) -> dict[str, str]:
    """The digests of all that the sweep's trainings and evaluations wrote."""
    names = ("train-*/bundle/*", "train-*/*.csv", "train-*/*.json", "evaluate-*/*.json", "evaluate-*/*.parquet")
    found = [path for name in names for path in (project / "work").glob(name)]
    return {path.relative_to(project).as_posix(): file_digest(path) for path in found}


def _children(project: Path) -> dict[str, tuple[str, dict[str, float]]]:
    """The states and final metrics of the jobs in MLflow; times and memory are the machine's."""
    store = open_store(project)
    runs = store.client.search_runs([store.experiment_id])
    return {
        str(run.info.run_name): (
            run.info.status,
            {name: value for name, value in run.data.metrics.items() if not OF_THE_MACHINE.search(name)},
        )
        for run in runs
        if "mlflow.parentRunId" in run.data.tags
    }


def test_a_sweep_on_two_nodes_gives_what_one_process_gives(in_one_process: Path, nodes: Nodes, tmp_path: Path) -> None:
    project = new_project(tmp_path / "project")
    process = _start(project, nodes)
    seen: set[int] = set()
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(0.2):
            seen.update(raylet for raylet in nodes.raylets if _jobs_of(raylet))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        said = process.communicate(timeout=900)[0]
    finally:
        is_over.set()
        looking.join()
        kill_group(process)
    assert process.returncode == 0, said
    assert seen == set(nodes.raylets)
    assert _written(project) == _written(in_one_process)
    assert _children(project) == _children(in_one_process)
    assert [state for state, _ in _children(project).values()] == ["FINISHED"] * 3


def test_the_job_of_a_node_that_is_lost_goes_on_elsewhere_to_the_same_bytes(
    in_one_process: Path, nodes: Nodes, tmp_path: Path
) -> None:
    project = new_project(tmp_path / "project")
    process = _start(project, nodes)
    try:
        limit = time.monotonic() + 600
        while not _is_training(nodes.raylets[1], project):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < limit
            time.sleep(0.05)
        nodes.kill_second()
        said = process.communicate(timeout=900)[0]
    finally:
        kill_group(process)
    assert process.returncode == 0, said
    assert said.count("its machine is lost; started again") == 1
    assert _written(project) == _written(in_one_process)
    assert [state for state, _ in _children(project).values()] == ["FINISHED"] * 3
