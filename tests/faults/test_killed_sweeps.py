"""SIGKILL and SIGTERM at random moments of a sweep: the same command again ends as an undisturbed one."""

import signal
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults.conftest import Record
from tests.faults.faulty import (
    SETTINGS,
    Fault,
    Tree,
    bytes_lost,
    check_nothing_left_behind,
    draw,
    stage_environment,
    tree_of,
)
from tests.faults.table import GOES_ON, SAME_BYTES, Injection
from tests.pipelines.tiny import command_of, kill_group, new_project

pytestmark = pytest.mark.long

SWEEP = ["-m", "seed=1,2", *SETTINGS]


class Undisturbed(NamedTuple):
    """What a sweep leaves, and how many changes of files it makes."""

    tree: Tree
    changes: int


def _command() -> list[str]:
    return command_of("run", *SWEEP)


def _sweep(project: Path, fault: Fault | None = None) -> subprocess.CompletedProcess[str]:
    environment = stage_environment(project, "run", fault)
    return subprocess.run(_command(), cwd=project, env=environment, capture_output=True, text=True, check=False)


def _sweep_tree(project: Path) -> Tree:
    """The project's tree; Hydra's own file holds the path of the project."""
    return {name: ("", 0) if name.endswith("/multirun.yaml") else facts for name, facts in tree_of(project).items()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    project = new_project(folder / "project")
    done = _sweep(project, {"count_to": {"path": str(folder / "count")}})
    assert done.returncode == 0, done.stderr
    return Undisturbed(_sweep_tree(project), int((folder / "count").read_text()))


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_a_sweep_that_is_killed_anywhere_ends_as_an_undisturbed_one_when_it_is_started_again(
    sent: signal.Signals, number: int, undisturbed: Undisturbed, tmp_path: Path, record: Record
) -> None:
    project = new_project(tmp_path / "project")
    change = draw("sweep", sent.name, number).randint(1, undisturbed.changes)
    done = _sweep(project, {"signal_at": {"change": change, "sent": sent}})
    assert done.returncode == (-sent if sent == signal.SIGKILL else 128 + sent), done.stderr
    assert "Traceback" not in done.stderr
    again = _sweep(project)
    assert again.returncode == 0, again.stderr
    found = _sweep_tree(project)
    assert found == undisturbed.tree
    check_nothing_left_behind(project)
    lost = bytes_lost(undisturbed.tree, found)
    record(Injection(f"{sent.name} between two changes of files", "run -m", SAME_BYTES, lost))


def test_two_sweeps_at_once_wait_for_each_other_and_end_as_one(
    undisturbed: Undisturbed, tmp_path: Path, record: Record
) -> None:
    project = new_project(tmp_path / "project")
    environment = stage_environment(project, "run")
    both = [
        subprocess.Popen(
            _command(),
            cwd=project,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for _ in range(2)
    ]
    try:
        said = [process.communicate(timeout=300)[1] for process in both]
    finally:
        for process in both:
            kill_group(process)
    assert [process.returncode for process in both] == [0, 0], said
    assert "another process works on it; waiting" in "".join(said)
    assert "".join(said).count("stage train\n") == 2
    found = _sweep_tree(project)
    assert found == undisturbed.tree
    lost = bytes_lost(undisturbed.tree, found)
    record(Injection("the same command twice at once", "run -m", f"one waits for the other; {GOES_ON}", lost))
