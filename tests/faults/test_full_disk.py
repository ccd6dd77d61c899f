"""A disk that fills up under each stage: one line, nothing half-written, and with space again the same bytes."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.faults.conftest import Record
from tests.faults.faulty import (
    STAGES,
    Reference,
    bytes_lost,
    check_nothing_half_written,
    check_nothing_left_behind,
    output_paths,
    stage_arguments,
    stage_environment,
    tree_of,
)
from tests.faults.table import ONE_LINE, SAME_BYTES, Injection
from tests.pipelines.conftest import one_error
from tests.pipelines.tiny import command_of

BLOCK = 4096
DISK_BLOCKS = 4096

# A file fills the small disk up to so many blocks; the copies are what stood on it after each try.
ON_A_SMALL_DISK = """
mount -t tmpfs -o size={disk_bytes} tmpfs {project}
cp -a {template}/. {project}
cd {project}
free=$(df -B {block} --output=avail . | tail -1)
head -c $(((free - {free_blocks}) * {block})) /dev/zero > ballast
{command} 2> {after_fault}.err; echo $? > {after_fault}.code
rm ballast
cp -a . {after_fault}
{command} 2> {after_again}.err; echo $? > {after_again}.code
cp -a . {after_again}
"""


def _can_mount() -> bool:
    unshare = shutil.which("unshare")
    return bool(unshare) and subprocess.run([unshare, "-rm", "true"], check=False, capture_output=True).returncode == 0


needs_small_disk = pytest.mark.skipif(not _can_mount(), reason="this system lets no user mount a small disk (unshare)")


def _fill_up(reference: Reference, stage: str, share: float, folder: Path, record: Record) -> None:
    """Run a stage on a disk that has room for this share of what it writes."""
    template = reference.copy_without(stage, folder / "template")
    written = [path for top in output_paths(reference.project, stage) for path in (top, *top.rglob("*"))]
    blocks = sum(-(-path.stat().st_size // BLOCK) for path in written if path.is_file())
    project, after_fault, after_again = (folder / name for name in ("project", "after_fault", "after_again"))
    project.mkdir()
    script = ON_A_SMALL_DISK.format(
        block=BLOCK,
        disk_bytes=DISK_BLOCKS * BLOCK,
        free_blocks=int(share * blocks),
        command=shlex.join(command_of(stage, *stage_arguments(stage))),
        template=shlex.quote(str(template)),
        project=shlex.quote(str(project)),
        after_fault=shlex.quote(str(after_fault)),
        after_again=shlex.quote(str(after_again)),
    )
    environment = stage_environment(project, stage)
    subprocess.run(["unshare", "-rm", "sh", "-u", "-c", script], env=environment, check=True)
    said = after_fault.with_suffix(".err").read_text(encoding="utf-8")
    assert after_fault.with_suffix(".code").read_text() == "2\n", said
    assert "the disk is full" in one_error(said)
    check_nothing_half_written(reference, after_fault, stage)
    check_nothing_left_behind(after_fault)
    said = after_again.with_suffix(".err").read_text(encoding="utf-8")
    assert after_again.with_suffix(".code").read_text() == "0\n", said
    found = tree_of(after_again)
    assert found == reference.tree
    lost = bytes_lost(reference.tree, found)
    record(Injection("the disk is full", stage, f"{ONE_LINE}; with space {SAME_BYTES}", lost))


@pytest.mark.slow
@needs_small_disk
@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk_costs_a_stage_one_line_and_it_gives_the_same_bytes_once_there_is_space(
    stage: str, reference: Reference, tmp_path: Path, record: Record
) -> None:
    _fill_up(reference, stage, 0.5, tmp_path, record)


@pytest.mark.long
@needs_small_disk
@pytest.mark.parametrize("share", [0.0, 0.9])
@pytest.mark.parametrize("stage", STAGES)
def test_a_disk_that_is_full_earlier_or_later_costs_a_stage_one_line_too(
    stage: str, share: float, reference: Reference, tmp_path: Path, record: Record
) -> None:
    _fill_up(reference, stage, share, tmp_path, record)
