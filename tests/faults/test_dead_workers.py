"""Helping processes that are killed, and ones whose starter is: one line, or the same bytes; nobody stays behind."""

import signal
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import psutil
import pytest

from lmlab.config import validate
from lmlab.errors import InputError
from lmlab.runtime import RuntimeSettings
from tests.faults.conftest import Record
from tests.faults.faulty import (
    Fault,
    Reference,
    bytes_lost,
    change_runtime,
    check_nothing_half_written,
    check_nothing_left_behind,
    run_stage,
    stage_arguments,
    stage_environment,
    tree_of,
)
from tests.faults.table import GOES_ON, ONE_LINE, SAME_BYTES, Injection
from tests.pipelines.conftest import one_error
from tests.training.train_tiny import RUNTIME

# Many small batches, nearly all of them for other processes.
CLEAN_IN_PROCESSES = """
from lmlab.data import clean
from lmlab.data.cleaning import batches
from pipelines.command import run_command
from pipelines.stages import stage_command
batches.BATCH_CHARACTERS, clean.BATCHES_HERE = 300, 1
run_command(lambda: stage_command("clean"))  # pipelines.clean
"""
IN_PROCESSES = 30
"""A change of a file at which the other processes are at work."""


def _clean_in_processes(project: Path, fault: Fault) -> subprocess.CompletedProcess[str]:
    change_runtime(project, threads=2)
    command = [sys.executable, "-c", CLEAN_IN_PROCESSES, *stage_arguments("clean")]
    environment = stage_environment(project, "clean", fault)
    # Standard error as a file: a process that stays behind must not hold this one up.
    with (project.parent / "said").open("w+") as said:
        done = subprocess.run(command, cwd=project, env=environment, stderr=said, start_new_session=True, check=False)
        said.seek(0)
        return subprocess.CompletedProcess(command, done.returncode, "", said.read())


def _check_nobody_left(project: Path) -> None:
    """Every process that works in the project has ended, or does soon."""
    deadline = time.monotonic() + 15
    while left := [process for process in psutil.process_iter() if _works_in(process, project)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def _works_in(process: psutil.Process, project: Path) -> bool:
    try:
        return process.cwd() == str(project)
    except psutil.Error:
        return False


def _check_again(reference: Reference, project: Path, stage: str) -> int:
    again = run_stage(project, stage)
    assert again.returncode == 0, again.stderr
    found = tree_of(project)
    assert found == reference.tree
    check_nothing_left_behind(project)
    return bytes_lost(reference.tree, found)


@pytest.mark.slow
def test_a_killed_process_of_cleaning_costs_one_line_and_nothing_else(
    reference: Reference, tmp_path: Path, record: Record
) -> None:
    project = reference.copy_without("clean", tmp_path)
    done = _clean_in_processes(project, {"kill_child_at": {"change": IN_PROCESSES}})
    assert done.returncode == 2, done.stderr
    assert "was killed, perhaps because memory is full" in one_error(done.stderr)
    assert "runtime.threads (now 2)" in done.stderr
    check_nothing_left_behind(project)
    _check_nobody_left(project)
    lost = _check_again(reference, project, "clean")
    record(Injection("a process of cleaning is killed", "clean", f"{ONE_LINE}; {SAME_BYTES}", lost))


@pytest.mark.slow
def test_the_processes_of_a_killed_cleaning_end_with_it(reference: Reference, tmp_path: Path, record: Record) -> None:
    project = reference.copy_without("clean", tmp_path)
    done = _clean_in_processes(project, {"signal_at": {"change": IN_PROCESSES, "sent": signal.SIGKILL}})
    assert done.returncode == -signal.SIGKILL, done.stderr
    _check_nobody_left(project)
    lost = _check_again(reference, project, "clean")
    record(Injection("SIGKILL, with other processes at work", "clean", f"they end too; {SAME_BYTES}", lost))


@pytest.mark.slow
def test_a_killed_loader_process_costs_one_line_and_the_training_goes_on_when_it_is_run_again(
    reference: Reference, tmp_path: Path, record: Record
) -> None:
    project = reference.copy_without("train", tmp_path)
    change_runtime(project, workers=2)
    done = run_stage(project, "train", {"kill_child_at": {"change": "resume.pt"}})
    # Where all of its batches had arrived, nobody misses it.
    assert done.returncode in (0, 2), done.stderr
    if done.returncode:
        assert "runtime.workers" in one_error(done.stderr)
    _check_nobody_left(project)
    check_nothing_half_written(reference, project, "train")
    lost = _check_again(reference, project, "train")
    outcome = f"{ONE_LINE}; {SAME_BYTES}" if done.returncode else GOES_ON
    record(Injection("a process that loads batches is killed", "train", outcome, lost))


def test_loader_processes_that_could_send_nothing_are_refused(monkeypatch: pytest.MonkeyPatch, record: Record) -> None:
    from lmlab.training.processes import LONGEST_FOLDER_OF_SOCKETS, check_loaders

    for length, workers, is_refused in ((LONGEST_FOLDER_OF_SOCKETS, 2, False), (200, 0, False), (200, 2, True)):
        monkeypatch.setattr(tempfile, "tempdir", "/".ljust(length, "x"))
        runtime = validate(RuntimeSettings, RUNTIME | {"workers": workers}, path="runtime")
        with pytest.raises(InputError, match=r"runtime\.workers: .* TMPDIR") if is_refused else nullcontext():
            check_loaders(runtime)
    record(Injection("the folder for temporary files has too long a path for sockets", "train", ONE_LINE, None))


@pytest.mark.long
def test_the_loader_processes_of_a_killed_training_end_with_it(
    reference: Reference, tmp_path: Path, record: Record
) -> None:
    project = reference.copy_without("train", tmp_path)
    change_runtime(project, workers=2)
    done = run_stage(project, "train", {"signal_at": {"change": "resume.pt", "sent": signal.SIGKILL}})
    assert done.returncode == -signal.SIGKILL, done.stderr
    _check_nobody_left(project)
    check_nothing_half_written(reference, project, "train")
    lost = _check_again(reference, project, "train")
    record(Injection("SIGKILL, with other processes at work", "train", f"they end too; {SAME_BYTES}", lost))
