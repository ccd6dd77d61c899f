"""Several processes that train one model, over gloo: the same result as one, and nothing lost when one dies."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lmlab.errors import InputError
from lmlab.files import file_digest
from lmlab.training import learner
from lmlab.training.checkpoint import FILE_NAME, read_checkpoint
from lmlab.training.lightning import strategies
from lmlab.training.processes import World, shard
from tests.corpus import COPYING, encoded_corpus
from tests.laws.imports import PROJECT
from tests.training.train_tiny import MODEL_SETTINGS, MUON, train_tiny

STILL: dict[str, Any] = {"shape": {"dropout": 0.0}}
"""Dropout draws other numbers for other rows."""
ARCHITECTURE = {
    **MODEL_SETTINGS["pretrained"]["architecture"],
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
}
PRETRAINED: dict[str, Any] = {"shape": {"architecture": ARCHITECTURE}}
CARRIED: dict[str, Any] = {**STILL, "carry_state": True}
TWO, SHARDED = {"devices": 2}, {"devices": 2, "strategy": "fsdp"}

# Of torch, about what a module may do with the output of a sharded one; ours do it not.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:FSDP2-wrapped module")]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    encoded_corpus(folder)
    return folder


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    encoded_corpus(folder, task=COPYING)
    return folder


def _weights(outputs: Path) -> dict[str, torch.Tensor]:
    return load_file(outputs / "bundle" / "model.safetensors")


def _assert_alike(found: Path, wanted: Path) -> None:
    """The sums of several processes have another order, which steps of an optimizer can make larger."""
    for name, weight in _weights(wanted).items():
        if name.endswith("c_attn.bias"):
            # All keys moved by the same leave attention as it is: the gradient is rounding, which AdamW makes steps of.
            continue
        torch.testing.assert_close(_weights(found)[name], weight, rtol=1e-3, atol=1e-4)
    reports = [json.loads((outputs / "training.json").read_text(encoding="utf-8")) for outputs in (found, wanted)]
    losses = [report.pop("validation_nats_per_token") for report in reports]
    bits = [report.pop("validation_bits_per_byte") for report in reports]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert bits[0] == pytest.approx(bits[1], rel=1e-5)
    assert reports[0] == reports[1]


@pytest.mark.parametrize(
    ("model", "changes", "runtime"),
    [
        ("transformer", {**STILL, "optimizer": MUON}, TWO),
        ("lstm", CARRIED, TWO),
        ("gru", STILL, TWO),
        ("pretrained", PRETRAINED, TWO),
        ("transformer", {**STILL, "optimizer": MUON}, SHARDED),
        ("lstm", CARRIED, SHARDED),
        ("pretrained", PRETRAINED, SHARDED),
    ],
    ids=lambda value: value if isinstance(value, str) else value.get("strategy", "ddp") if "devices" in value else "",
)
def test_two_processes_train_as_one_does_with_the_same_batches(
    model: str, changes: dict[str, Any], runtime: dict[str, Any], corpus: Path, tmp_path: Path
) -> None:
    train_tiny(corpus, tmp_path / "one", model=model, **changes)
    train_tiny(corpus, tmp_path / "two", model=model, runtime=runtime, **changes)
    _assert_alike(tmp_path / "two", tmp_path / "one")


def test_a_process_of_fsdp_holds_a_part_of_each_weight(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[float] = []

    def watched(model: torch.nn.Module, mesh: Any) -> None:
        num_before = sum(weight.numel() for weight in model.parameters())
        shard(model, mesh)
        held = [weight.to_local().numel() for weight in model.parameters()]  # type: ignore[operator]
        shares.append(sum(held) / num_before)

    monkeypatch.setattr(learner, "shard", watched)
    train_tiny(corpus, tmp_path, runtime=SHARDED, max_steps=2)
    assert shares == [pytest.approx(0.5, abs=0.02)]


def test_processes_without_a_row_of_their_own_take_part(examples: Path, tmp_path: Path) -> None:
    # Batches of 40 tokens have two rows, or one.
    changes = {**STILL, "batch_rows": 2, "accumulate": 1, "sequence_length": 20}
    train_tiny(examples, tmp_path / "one", **changes)
    train_tiny(examples, tmp_path / "three", runtime={"devices": 3}, **changes)
    _assert_alike(tmp_path / "three", tmp_path / "one")


@pytest.mark.parametrize("runtime", [TWO, SHARDED], ids=["ddp", "fsdp"])
def test_processes_with_other_numbers_of_rows_read_as_many_parts(
    examples: Path, tmp_path: Path, runtime: dict[str, Any]
) -> None:
    # Of five rows one process would read two in two parts, the other three in three.
    changes = {**STILL, "batch_rows": 6, "accumulate": 3, "sequence_length": 20}
    train_tiny(examples, tmp_path / "one", **changes)
    train_tiny(examples, tmp_path / "two", runtime=runtime, **changes)
    _assert_alike(tmp_path / "two", tmp_path / "one")


def test_processes_sum_their_gradients_once_a_step(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    are_summed: list[bool] = []
    inner = strategies.DDPStrategy.pre_backward

    def watched(strategy: strategies.DDPStrategy, loss: torch.Tensor) -> None:
        are_summed.append(strategy.model.require_backward_grad_sync)  # type: ignore[union-attr, arg-type]
        inner(strategy, loss)

    monkeypatch.setattr(strategies.DDPStrategy, "pre_backward", watched)
    train_tiny(corpus, tmp_path, runtime=TWO, max_steps=2, accumulate=2)
    assert are_summed == 2 * [False, True]


def _started(corpus: Path, outputs: Path, changes: dict[str, Any]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.training.train_tiny", str(corpus), str(outputs), json.dumps(changes)]
    return subprocess.Popen(
        command,
        cwd=PROJECT,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _others(process: subprocess.Popen[str]) -> list[int]:
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8")
    return [int(word) for word in listed.split()]


def _wait_for_step(process: subprocess.Popen[str], step: int) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if int(line.split()[0]) >= step:
            return


def _is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the processes in /proc, which only Linux has")
def test_whichever_process_is_killed_the_training_ends_at_once_and_goes_on_to_the_same_bytes(
    corpus: Path, tmp_path: Path
) -> None:
    changes = {**CARRIED, "model": "lstm", "runtime": TWO, "log_every_steps": 1}
    train_tiny(corpus, tmp_path / "undisturbed", **changes)
    for step, victim in ((4, "first"), (12, "other"), (18, "first")):
        process = _started(corpus, tmp_path / "killed", changes)
        _wait_for_step(process, step)
        (other,) = _others(process)
        os.kill(process.pid if victim == "first" else other, signal.SIGKILL)
        _, said = process.communicate(timeout=60)
        if victim == "other":
            assert "process 1 (exit code -9) of the 2 that train has ended" in said
        limit = time.monotonic() + 20
        while _is_alive(other) and time.monotonic() < limit:
            time.sleep(0.1)
        assert not _is_alive(other)
    assert read_checkpoint(tmp_path / "killed" / "checkpoints")["progress"]["step"] >= 17  # type: ignore[index]
    train_tiny(corpus, tmp_path / "killed", **changes)
    for name in ("bundle/model.safetensors", "history.csv", "training.json"):
        assert file_digest(tmp_path / "killed" / name) == file_digest(tmp_path / "undisturbed" / name)


@pytest.mark.long
@pytest.mark.parametrize(("first", "then"), [(TWO, {}), ({}, SHARDED), (SHARDED, TWO)])
def test_a_training_goes_on_with_another_number_of_processes(
    first: dict[str, Any], then: dict[str, Any], corpus: Path, tmp_path: Path
) -> None:
    changes = {**CARRIED, "model": "lstm", "log_every_steps": 1, "optimizer": MUON}
    train_tiny(corpus, tmp_path / "one", **changes)
    process = _started(corpus, tmp_path / "moved", {**changes, "runtime": first})
    _wait_for_step(process, 14)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert (tmp_path / "moved" / "checkpoints" / FILE_NAME).exists()
    train_tiny(corpus, tmp_path / "moved", runtime=then, **changes)
    _assert_alike(tmp_path / "moved", tmp_path / "one")


def test_rows_that_processes_cannot_share_evenly_are_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="4 rows cannot be shared out evenly among 3 processes: a multiple of 3"):
        train_tiny(corpus, tmp_path, runtime={"devices": 3})


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine with fewer GPUs than 2")
def test_more_processes_than_gpus_are_refused(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match="2 processes, but this machine has 1 GPUs"):
        train_tiny(corpus, tmp_path, runtime={"accelerator": "gpu", "devices": 2})


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a GPU")
def test_a_gpu_that_is_not_there_is_said(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"runtime\.accelerator: torch finds no GPU here"):
        train_tiny(corpus, tmp_path, runtime={"accelerator": "gpu"})


@pytest.mark.parametrize("num_rows", [0, 1, 5, 12])
def test_each_row_of_a_batch_is_read_by_one_process(num_rows: int) -> None:
    parts = [World(rank, 5, 5).part(num_rows) for rank in range(5)]
    assert [row for part in parts for row in range(num_rows)[part]] == list(range(num_rows))
