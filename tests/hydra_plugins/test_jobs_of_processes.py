"""A job of a launcher whose training starts processes of its own: the bytes of the same run by itself."""

import time
from pathlib import Path

import psutil
import pytest

from lmlab.files import file_digest, folder_files
from lmlab.training.processes import CHILD_MODULE
from tests.pipelines.tiny import TINY, TRANSFORMER, kill_group, new_project, run_command, start_command

pytestmark = pytest.mark.long

TWO = [*TINY, *TRANSFORMER, "runtime.devices=2", "runtime.tracking=false"]
LAUNCHERS = {
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.num_workers=1"],
    "submitit": ["hydra/launcher=submitit", "hydra.launcher.cluster=local", "hydra.launcher.num_workers=1"],
}


@pytest.fixture(scope="module")
def by_itself(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The bundle of a run that no launcher started."""
    project = new_project(tmp_path_factory.mktemp("by_itself") / "project")
    done = run_command(project, "run", *TWO)
    assert done.returncode == 0, done.stderr
    return _bundle(project)


def _bundle(project: Path) -> dict[str, str]:
    [folder] = project.glob("work/train-*/bundle")
    return {path.name: file_digest(path) for path in folder_files(folder)}


def _num_others(process: psutil.Process) -> int:
    """How many processes below this one train along."""
    found = 0
    for child in process.children(recursive=True):
        try:
            found += CHILD_MODULE in child.cmdline()
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_job_trains_with_two_processes_and_gives_the_bytes_of_a_run(
    name: str, by_itself: dict[str, str], tmp_path: Path
) -> None:
    project = new_project(tmp_path / "project")
    process = start_command(project, "run", "-m", "seed=1", *TWO, *LAUNCHERS[name])
    most = 0
    limit = time.monotonic() + 240
    try:
        while process.poll() is None:
            assert time.monotonic() < limit
            most = max(most, _num_others(psutil.Process(process.pid)))
            time.sleep(0.2)
        said = process.communicate(timeout=10)[0]
    finally:
        kill_group(process)
    assert process.returncode == 0, said
    assert most == 1
    assert _bundle(project) == by_itself
