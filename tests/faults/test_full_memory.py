"""Memory that is full, by a limit of the system: one line that says what to lower, and nothing lost."""

from pathlib import Path

import pytest

from tests.corpus import texts
from tests.faults.conftest import Record
from tests.faults.faulty import (
    SETTINGS,
    STAGES,
    Reference,
    bytes_lost,
    check_nothing_left_behind,
    run_stage,
    tree_of,
)
from tests.faults.table import ONE_LINE, Injection
from tests.pipelines.conftest import one_error
from tests.pipelines.tiny import run_command

NEEDY = {
    "clean": [],
    "train": ["training.batch_rows=200", "model.feed_forward_width=20000"],
}
MEGABYTES = {"clean": 40, "train": 200}
# The first files of the stages' work, when all that they need is imported.
BEGINNINGS = {"clean": ".records.partial", "train": "/checkpoints-"}
ADVICE = {"clean": "lower runtime.threads", "train": "lower training.batch_rows"}


def _limit(reference: Reference, stage: str, kind: str, folder: Path, record: Record) -> None:
    project = reference.copy_without(stage, folder)
    if stage == "clean":
        (project / "my.txt").write_text("\n".join(texts(60_000, seed=1)), encoding="utf-8")
    assert run_command(project, "compose", *SETTINGS, *NEEDY[stage]).returncode == 0
    before = tree_of(project)
    limit = {"change": BEGINNINGS[stage], "megabytes": MEGABYTES[stage], "kind": kind}
    done = run_stage(project, stage, {"limit_memory_at": limit})
    assert done.returncode == 2, done.stderr
    said = one_error(done.stderr)
    assert "memory is full" in said
    assert ADVICE[stage] in said
    found = tree_of(project)
    assert bytes_lost(before, found) == 0
    assert [name for name in found if name not in before and not name.startswith("work/")] == []
    check_nothing_left_behind(project)
    lost = bytes_lost(before, found)
    record(Injection(f"memory is full (RLIMIT_{kind})", stage, f"{ONE_LINE}, what to lower is named", lost))


@pytest.mark.slow
@pytest.mark.parametrize("stage", NEEDY)
def test_full_memory_is_one_line_that_says_what_to_lower(
    stage: str, reference: Reference, tmp_path: Path, record: Record
) -> None:
    _limit(reference, stage, "AS", tmp_path, record)


@pytest.mark.parametrize("stage", STAGES)
def test_memory_that_is_full_before_a_stage_begins_is_one_line_too(
    stage: str, reference: Reference, tmp_path: Path, record: Record
) -> None:
    project = reference.copy_without(stage, tmp_path)
    before = tree_of(project)
    done = run_stage(project, stage, {"limit_memory_at": {"change": f"{stage}.lock", "megabytes": 4, "kind": "AS"}})
    assert done.returncode == 2, done.stderr
    assert "memory is full" in one_error(done.stderr)
    assert tree_of(project) == before
    record(Injection("memory is full at the start (RLIMIT_AS)", stage, ONE_LINE, bytes_lost(before, before)))


@pytest.mark.long
@pytest.mark.parametrize("stage", NEEDY)
def test_a_limit_of_data_alone_is_one_line_too(
    stage: str, reference: Reference, tmp_path: Path, record: Record
) -> None:
    _limit(reference, stage, "DATA", tmp_path, record)
