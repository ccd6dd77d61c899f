"""SIGKILL and SIGTERM at random moments of each stage: the same command again gives the same bytes."""

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.faults.conftest import Record
from tests.faults.faulty import (
    STAGES,
    Reference,
    bytes_lost,
    check_nothing_half_written,
    check_nothing_left_behind,
    draw,
    run_stage,
    stage_arguments,
    stage_environment,
    tree_of,
)
from tests.faults.table import SAME_BYTES, Injection
from tests.pipelines.tiny import command_of

SIGTERM_CODE = 128 + signal.SIGTERM
SIGNALS = [signal.SIGKILL, signal.SIGTERM]


def _check_again(reference: Reference, project: Path, stage: str) -> int:
    """Run the stage again, which must leave what an undisturbed run leaves; the bytes that were lost."""
    again = run_stage(project, stage)
    assert again.returncode == 0, again.stderr
    found = tree_of(project)
    lost = bytes_lost(reference.tree, found)
    assert lost == 0
    assert found == reference.tree
    check_nothing_left_behind(project)
    return lost


def _end_before_a_change(
    reference: Reference, stage: str, change: int, sent: signal.Signals, folder: Path, record: Record
) -> None:
    project = reference.copy_without(stage, folder)
    done = run_stage(project, stage, {"signal_at": {"change": change, "sent": sent}})
    assert done.returncode == (-sent if sent == signal.SIGKILL else SIGTERM_CODE), done.stderr
    assert "Traceback" not in done.stderr
    check_nothing_half_written(reference, project, stage)
    if sent == signal.SIGTERM:
        check_nothing_left_behind(project)
    lost = _check_again(reference, project, stage)
    record(Injection(f"{sent.name} between two changes of files", stage, SAME_BYTES, lost))


def _some_change(reference: Reference, stage: str, sent: signal.Signals, number: int) -> int:
    return draw(stage, sent.name, number).randint(1, reference.changes[stage])


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_killed_between_two_changes_of_files_gives_the_same_bytes_when_it_is_run_again(
    stage: str, reference: Reference, tmp_path: Path, record: Record
) -> None:
    sent = SIGNALS[STAGES.index(stage) % 2]
    change = _some_change(reference, stage, sent, 0)
    _end_before_a_change(reference, stage, change, sent, tmp_path, record)


@pytest.mark.long
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("sent", SIGNALS, ids=["SIGKILL", "SIGTERM"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_killed_between_any_two_changes_of_files_gives_the_same_bytes_when_it_is_run_again(
    stage: str, sent: signal.Signals, number: int, reference: Reference, tmp_path: Path, record: Record
) -> None:
    change = _some_change(reference, stage, sent, number)
    _end_before_a_change(reference, stage, change, sent, tmp_path, record)


@pytest.mark.long
@pytest.mark.parametrize("sent", SIGNALS, ids=["SIGKILL", "SIGTERM"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_killed_at_any_time_gives_the_same_bytes_when_it_is_run_again(
    stage: str, sent: signal.Signals, reference: Reference, tmp_path: Path, record: Record
) -> None:
    project = reference.copy_without(stage, tmp_path)
    seconds = draw(stage, sent.name).random() * reference.seconds[stage]
    while not _ended_after(seconds, project, stage, sent):
        # The machine is faster now than when the undisturbed run was timed.
        project = reference.copy_without(stage, tmp_path / f"{seconds:.3f}")
        seconds *= 0.7
    check_nothing_half_written(reference, project, stage)
    lost = _check_again(reference, project, stage)
    record(Injection(f"{sent.name} at a random time", stage, SAME_BYTES, lost))


def _ended_after(seconds: float, project: Path, stage: str, sent: signal.Signals) -> bool:
    """Start the stage and send it the signal after so many seconds; whether it was still at work."""
    command = command_of(stage, *stage_arguments(stage))
    environment = stage_environment(project, stage)
    with subprocess.Popen(command, cwd=project, env=environment, stderr=subprocess.PIPE, text=True) as process:
        time.sleep(seconds)
        process.send_signal(sent)
        said = process.communicate(timeout=60)[1]
    assert "Traceback" not in said
    # Before the command's first lines, SIGTERM ends any process.
    assert process.returncode in (0, -sent, 128 + sent), said
    return process.returncode != 0


@pytest.mark.long
def test_a_stage_killed_before_each_of_its_changes_of_files_leaves_old_outputs_whole(
    reference: Reference, tmp_path: Path, record: Record
) -> None:
    project = reference.copy(tmp_path)
    kills = 0
    while _is_killed_before_a_change(project, "clean", kills + 1):
        kills += 1
        is_between = (project / "data" / ".records.old").exists()
        assert is_between or (project / "data" / "records").exists()
        check_nothing_half_written(reference, project, "clean")
    lost = bytes_lost(reference.tree, tree_of(project))
    assert lost == 0
    check_nothing_left_behind(project)
    record(Injection("SIGKILL before every change of a file, old outputs there", "clean", SAME_BYTES, lost, kills))


def _is_killed_before_a_change(project: Path, stage: str, change: int) -> bool:
    """Run the stage with SIGKILL before this change; whether it came to it."""
    done = run_stage(project, stage, {"signal_at": {"change": change, "sent": signal.SIGKILL}})
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0
