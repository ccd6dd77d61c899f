"""A truncated or bit-flipped file of each kind is found by its digest, named in one line, and never worked with."""

import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lmlab.applying.opening import open_applier
from lmlab.errors import InputError
from lmlab.files import check_seal
from pipelines.command import run_command
from pipelines.stages import stage_command
from tests.faults.conftest import Record
from tests.faults.faulty import Reference, draw, run_stage, stage_arguments, tree_of
from tests.faults.table import ONE_LINE, Injection
from tests.pipelines.conftest import one_error

SEAL = "seal.json"
NAMED = f"{ONE_LINE}, the file is named"
NUM_FLIPS = 50
# Each kind of file with a stage that reads it.
SEALED = {
    "records parquet": ("encode", "data/records", ["train.parquet", "validation.parquet", "test.parquet", SEAL]),
    "token store": (
        "train",
        "data/tokens",
        [*(f"{kind}.train.{end}" for kind, end in (("tokens", "npy"), ("index", "safetensors"))), SEAL],
    ),
    "tokenizer": ("train", "data/tokenizer", ["tokenizer.json", SEAL]),
    "bundle": ("export", "models/bundle", ["model.safetensors", "config.json", "tokenizer.json", SEAL]),
}
FILES = [(kind, stage, folder, name) for kind, (stage, folder, names) in SEALED.items() for name in names]


def _truncated(content: bytes, seed: object) -> bytes:
    return content[: draw("truncated", seed).randrange(len(content))]


def _flipped(content: bytes, seed: object) -> bytes:
    changed = bytearray(content)
    changed[draw("byte", seed).randrange(len(content))] ^= 1 << draw("bit", seed).randrange(8)
    return bytes(changed)


DAMAGES = {"truncated": _truncated, "bit-flipped": _flipped}

Says = Callable[..., str]


@pytest.fixture(scope="module")
def whole(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the undisturbed project, whole again after each test."""
    return reference.copy(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Says]:
    """Run a stage, in this process, that must refuse what it finds; the one line that it says."""

    def run(project: Path, stage: str) -> str:
        monkeypatch.chdir(project)
        monkeypatch.setattr(sys, "argv", [f"pipelines.{stage}", *stage_arguments(stage)])
        with pytest.raises(SystemExit) as ended:
            run_command(lambda: stage_command(stage))
        assert ended.value.code == 2
        return one_error(capsys.readouterr().err)

    before = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, before)


def _check_refused(project: Path, stage: str, path: Path, kind: str, says: Says, record: Record) -> None:
    """The stage names the file whatever the damage to it, and leaves everything as it was."""
    content = path.read_bytes()
    for name, damage in DAMAGES.items():
        path.write_bytes(damage(content, path.name))
        before = tree_of(project)
        try:
            said = says(project, stage)
            assert path.name in said, said
            assert tree_of(project) == before
        finally:
            path.write_bytes(content)
        record(Injection(f"{kind}: a file is {name}", stage, NAMED, None))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "stage", "folder", "name"), FILES, ids=[f"{one[0]} {one[3]}" for one in FILES])
def test_a_damaged_file_stops_the_stage_that_reads_it(
    kind: str, stage: str, folder: str, name: str, whole: Path, says: Says, record: Record
) -> None:
    _check_refused(whole, stage, whole / folder / name, kind, says, record)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_model_whose_bundle_is_damaged_is_not_opened(
    damage: str, reference: Reference, tmp_path: Path, record: Record
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(reference.project / "models" / "bundle", folder)
    for name in SEALED["bundle"][2]:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(DAMAGES[damage](content, name))
        with pytest.raises(InputError, match=re.escape(name)):
            open_applier(folder)
        (folder / name).write_bytes(content)
        record(Injection(f"bundle: a file is {damage}", "apply", NAMED, None))
    assert open_applier(folder)


def test_a_seal_with_a_bit_flipped_anywhere_is_refused_or_says_what_it_said(
    reference: Reference, tmp_path: Path, record: Record
) -> None:
    folder = tmp_path / "tokens"
    shutil.copytree(reference.project / "data" / "tokens", folder)
    path, facts = folder / SEAL, check_seal(folder)
    content, refused = path.read_bytes(), 0
    for number in range(NUM_FLIPS):
        path.write_bytes(_flipped(content, number))
        try:
            found = check_seal(folder)
        except InputError:
            refused += 1
        else:
            assert {key: found.get(key) for key in facts} == facts
    # Without the name of its own digest a seal is one of an earlier version, and that name is short.
    assert refused > 0.95 * NUM_FLIPS
    outcome = "one line; or all facts are as they were"
    record(Injection("a seal with one bit flipped, anywhere", "any stage", outcome, None, NUM_FLIPS))


@pytest.fixture(scope="module")
def almost_trained(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose training was killed before it wrote its bundle: its checkpoints are there."""
    project = reference.copy_without("train", tmp_path_factory.mktemp("almost_trained"))
    done = run_stage(project, "train", {"signal_at": {"change": ".bundle.partial", "sent": signal.SIGKILL}})
    assert done.returncode == -signal.SIGKILL, done.stderr
    return project


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resume.pt", "best.weights"])
def test_a_damaged_checkpoint_stops_the_training_that_would_go_on_from_it(
    name: str, almost_trained: Path, says: Says, record: Record
) -> None:
    [path] = almost_trained.glob(f"work/checkpoints-*/{name}")
    _check_refused(almost_trained, "train", path, "resume checkpoint", says, record)
