"""Two commands at once on one folder: the second waits or says so in one line, and the first is not disturbed."""

import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.faults.conftest import Record
from tests.faults.faulty import (
    Reference,
    bytes_lost,
    check_nothing_left_behind,
    run_stage,
    stage_arguments,
    stage_environment,
    tree_of,
)
from tests.faults.table import GOES_ON, ONE_LINE, Injection
from tests.pipelines.conftest import one_error
from tests.pipelines.tiny import command_of, kill_group


def _start_and_hold(project: Path, stage: str) -> subprocess.Popen[str]:
    """Start a stage that the system stops when it is about to write its first output or checkpoint."""
    environment = stage_environment(project, stage, {"signal_at": {"change": ".partial", "sent": signal.SIGSTOP}})
    command = command_of(stage, *stage_arguments(stage))
    with (project.parent / "said").open("w") as said:
        process = subprocess.Popen(
            command, cwd=project, env=environment, stderr=said, text=True, start_new_session=True
        )
    deadline = time.monotonic() + 60
    while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED:
        assert process.poll() is None, (project.parent / "said").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def _two_at_once(reference: Reference, stage: str, folder: Path, record: Record) -> None:
    project = reference.copy_without(stage, folder)
    first = _start_and_hold(project, stage)
    try:
        before = tree_of(project)
        second = run_stage(project, stage)
        assert second.returncode == 2, second.stderr
        assert f"another process runs the stage {stage} in this folder" in one_error(second.stderr)
        assert tree_of(project) == before
        first.send_signal(signal.SIGCONT)
        assert first.wait(timeout=60) == 0
    finally:
        kill_group(first)
    found = tree_of(project)
    assert found == reference.tree
    check_nothing_left_behind(project)
    lost = bytes_lost(reference.tree, found)
    record(Injection("the same command twice at once", stage, f"the second: {ONE_LINE}; the first: {GOES_ON}", lost))


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["clean", "train"])
def test_a_stage_that_another_process_runs_here_is_refused_in_one_line(
    stage: str, reference: Reference, tmp_path: Path, record: Record
) -> None:
    _two_at_once(reference, stage, tmp_path, record)


@pytest.mark.long
@pytest.mark.parametrize("stage", ["encode", "evaluate", "export", "report"])
def test_every_stage_that_another_process_runs_here_is_refused_in_one_line(
    stage: str, reference: Reference, tmp_path: Path, record: Record
) -> None:
    _two_at_once(reference, stage, tmp_path, record)
