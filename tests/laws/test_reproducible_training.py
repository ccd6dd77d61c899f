"""Same seed, same bytes; killed and started again, same bytes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lmlab.data.batches import Batch
from lmlab.files import file_digest, folder_files
from lmlab.models import MODELS
from tests.corpus import COPYING, LANGUAGE_MODELING, encoded_corpus
from tests.laws.imports import PROJECT
from tests.training.train_tiny import MUON, train_tiny

CARRIED = {"carry_state": True}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    encoded_corpus(folder)
    return folder


def _digests(outputs: Path) -> list[str]:
    paths = [*folder_files(outputs / "bundle"), outputs / "history.csv", outputs / "training.json"]
    return [file_digest(path) for path in paths]


@pytest.mark.parametrize("model", MODELS.names())
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(model: str, corpus: Path, tmp_path: Path) -> None:
    changes = CARRIED if model in ("lstm", "gru") else {}
    for name, seed in (("first", 1), ("second", 1), ("other", 2)):
        train_tiny(corpus, tmp_path / name, seed=seed, model=model, **changes)
    assert _digests(tmp_path / "first") == _digests(tmp_path / "second")
    weights = [file_digest(tmp_path / name / "bundle" / "model.safetensors") for name in ("first", "other")]
    assert weights[0] != weights[1]


def test_loader_processes_change_no_byte(corpus: Path, tmp_path: Path) -> None:
    train_tiny(corpus, tmp_path / "alone")
    train_tiny(corpus, tmp_path / "helped", runtime={"workers": 2})
    assert _digests(tmp_path / "alone") == _digests(tmp_path / "helped")


def _killed_after(step: int, corpus: Path, outputs: Path, changes: dict[str, Any]) -> bool:
    """Start a training and kill it when it tells of a step from `step` on; whether it was killed before its end."""
    command = [sys.executable, "-m", "tests.training.train_tiny", str(corpus), str(outputs), json.dumps(changes)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line.split()[0]) >= step:
                process.kill()
                break
        process.stdout.read()
        return process.wait() == -9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "changes", "task"),
    [
        ("transformer", {"optimizer": MUON}, LANGUAGE_MODELING),
        ("lstm", CARRIED, LANGUAGE_MODELING),
        ("transformer", {"optimizer": MUON}, COPYING),
    ],
    ids=["text", "text with its state carried", "examples"],
)
def test_a_training_killed_five_times_ends_with_the_bytes_of_one_that_was_not(
    model: str, changes: dict[str, Any], task: dict[str, Any], tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus"
    encoded_corpus(corpus, task=task)
    changes = {"model": model, "log_every_steps": 1, **changes}
    train_tiny(corpus, tmp_path / "undisturbed", **changes)
    outputs = tmp_path / "killed"
    kills = [_killed_after(step, corpus, outputs, changes) for step in (3, 9, 10, 17, 24)]
    assert all(kills)
    assert not (outputs / "bundle").exists()
    train_tiny(corpus, outputs, **changes)
    assert _digests(outputs) == _digests(tmp_path / "undisturbed")
    assert not (outputs / "checkpoints").exists()


def test_what_goes_on_resumes_and_does_not_start_anew(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lmlab.training import learner

    asked: list[int] = []
    original = learner.PlannedBatches.__getitem__

    def counted(self: learner.PlannedBatches, number: int) -> Batch | learner.Rows:
        asked.append(number)
        if number == 13 and asked.count(13) == 1:
            raise MemoryError("the machine is full")
        return original(self, number)

    monkeypatch.setattr(learner.PlannedBatches, "__getitem__", counted)
    with pytest.raises(MemoryError):
        train_tiny(corpus, tmp_path)
    train_tiny(corpus, tmp_path)
    # Lightning fetches one batch ahead, so the last whole step before the fault is 11 or 12.
    assert asked.index(13) in (12, 13)
    assert asked[asked.index(13) + 1] in (12, 13)
