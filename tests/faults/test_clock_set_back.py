"""The clock set back by an hour in mid-training: checkpoints are still written, and the bytes are as ever."""

import signal
from pathlib import Path

import pytest

from tests.faults.conftest import Record
from tests.faults.faulty import Reference, bytes_lost, check_nothing_left_behind, run_stage, tree_of
from tests.faults.table import SAME_BYTES, Injection

AN_HOUR = 3600


@pytest.mark.slow
def test_a_clock_that_is_set_back_changes_no_byte_of_a_training_and_holds_up_no_checkpoint(
    reference: Reference, tmp_path: Path, record: Record
) -> None:
    project = reference.copy_without("train", tmp_path)
    told = tmp_path / "told"
    told.mkdir()
    back = {"seconds": AN_HOUR, "after_calls": 5, "told_in": str(told)}
    at_the_end = {"change": ".bundle.partial", "sent": signal.SIGKILL}
    done = run_stage(project, "train", {"set_clock_back": back, "signal_at": at_the_end})
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(list(told.iterdir())) == 1
    again = run_stage(project, "train")
    assert again.returncode == 0, again.stderr
    # The last step's checkpoint was there: nothing is trained again.
    assert "bits per byte on validation" not in again.stderr
    found = tree_of(project)
    assert found == reference.tree
    check_nothing_left_behind(project)
    record(Injection("the clock is set back", "train", SAME_BYTES, bytes_lost(reference.tree, found)))
