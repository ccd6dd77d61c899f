"""Training on a GPU: what a CPU trains, the same bytes each time, and bundles that a CPU loads."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from lmlab.bundle import load_bundle
from lmlab.models.architectures.recurrence_in_half import read_in_half
from lmlab.training.optimizers import Muon
from tests.corpus import encoded_corpus
from tests.training.train_tiny import MUON, train_tiny

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
MODELS = ["transformer", "lstm", "gru", "pretrained"]
ON_GPU: dict[str, Any] = {"runtime": {"accelerator": "gpu"}}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    encoded_corpus(folder)
    return folder


def _shape(model: str) -> dict[str, Any]:
    """Without dropout, whose draws differ between devices."""
    if model == "pretrained":
        return {}
    return {"shape": {"dropout": 0.0}}


@pytest.mark.parametrize("model", MODELS)
def test_a_gpu_trains_what_a_cpu_does(corpus: Path, tmp_path: Path, model: str) -> None:
    reports = {
        name: train_tiny(corpus, tmp_path / name, model=model, learning_rate=1e-3, **_shape(model), **changes)
        for name, changes in {"cpu": {}, "gpu": ON_GPU}.items()
    }
    found, expected = (reports[name]["validation_nats_per_token"] for name in ("gpu", "cpu"))
    # GPT-2's settings keep their dropout.
    assert found == pytest.approx(expected, rel=1e-2 if model == "pretrained" else 1e-4)


@pytest.mark.parametrize("kind", [torch.nn.LSTM, torch.nn.GRU])
def test_mixed_precision_keeps_a_recurrent_layers_small_gradients(kind: type[torch.nn.LSTM | torch.nn.GRU]) -> None:
    torch.manual_seed(0)
    cell = kind(64, 96, 2, batch_first=True).cuda()
    inputs = torch.randn(8, 50, 64, device="cuda")
    # As each of 10,000 tokens moves a mean.
    weights = torch.randn(8, 50, 96, device="cuda") * 1e-5
    expected = torch.autograd.grad((cell(inputs)[0] * weights).sum(), list(cell.parameters()))
    with torch.autocast("cuda", torch.bfloat16):
        outputs, _ = read_in_half(cell, inputs, None, dropout=torch.nn.Dropout(0.0), precision=torch.bfloat16)
        found = torch.autograd.grad((outputs * weights).sum(), list(cell.parameters()))
    for gradient, wanted in zip(found, expected, strict=True):
        assert (gradient - wanted).norm() < 0.02 * wanted.norm()


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("model", MODELS)
def test_a_gpu_trains_to_the_same_bytes_again(
    request: pytest.FixtureRequest, corpus: Path, tmp_path: Path, model: str, precision: str
) -> None:
    if (model, precision) == ("gru", "bf16-mixed"):
        why = "some gradients of this tiny GRU with attention are no numbers on an H200; see reports/LOG.md"
        request.applymarker(pytest.mark.xfail(reason=why))
    weights = []
    for number in "12":
        train_tiny(corpus, tmp_path / number, model=model, optimizer=MUON, precision=precision, **ON_GPU)
        weights.append((tmp_path / number / "bundle" / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]


@pytest.mark.parametrize("model", ["transformer", "lstm"])
def test_a_killed_training_on_a_gpu_goes_on_to_the_same_bytes(corpus: Path, tmp_path: Path, model: str) -> None:
    settings: dict[str, Any] = {"model": model, "optimizer": MUON, "precision": "bf16-mixed", **ON_GPU}
    train_tiny(corpus, tmp_path / "whole", **settings)
    words = [str(corpus), str(tmp_path / "killed"), json.dumps(settings)]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.training.train_tiny", *words], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("16 "):
                process.kill()
    assert not (tmp_path / "killed" / "bundle").exists()
    train_tiny(corpus, tmp_path / "killed", **settings)
    whole, killed = (tmp_path / name / "bundle" / "model.safetensors" for name in ("whole", "killed"))
    assert whole.read_bytes() == killed.read_bytes()


def test_muon_moves_all_matrices_of_a_shape_at_once_as_a_cpu_moves_each() -> None:
    torch.manual_seed(0)
    starts = [torch.randn(shape) for shape in ((24, 16), (16, 24), (16, 16), (16, 24), (40, 16), (40, 16))]
    gradients = [[torch.randn_like(start) for start in starts] for _ in range(4)]
    moved = {}
    for device in ("cpu", "cuda"):
        weights = [torch.nn.Parameter(start.to(device, copy=True)) for start in starts]
        muon = Muon(weights, lr=0.1, momentum=0.9, weight_decay=0.1)
        for step in gradients:
            for weight, gradient in zip(weights, step, strict=True):
                weight.grad = gradient.to(device)
            muon.step()
        moved[device] = [weight.detach().cpu() for weight in weights]
    for found, expected, start in zip(moved["cuda"], moved["cpu"], starts, strict=True):
        # bfloat16 keeps 8 bits, and four steps of at most 0.1 were made.
        torch.testing.assert_close(found, expected, atol=0.01, rtol=0)
        assert (found - start).abs().max() > 0.1


def test_a_compiled_training_on_a_gpu_learns_the_same(corpus: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"learning_rate": 1e-3, "precision": "bf16-mixed", **_shape("transformer"), **ON_GPU}
    plain = train_tiny(corpus, tmp_path / "plain", **settings)["validation_nats_per_token"]
    # In a process of its own: torch cannot compile the checks of shapes that tests put around functions.
    words = [str(corpus), str(tmp_path / "compiled"), json.dumps(settings | {"compile": True})]
    subprocess.run([sys.executable, "-m", "tests.training.train_tiny", *words], check=True, capture_output=True)
    compiled = json.loads((tmp_path / "compiled" / "training.json").read_text())["validation_nats_per_token"]
    assert compiled == pytest.approx(plain, rel=0.01)


def test_a_bundle_from_a_gpu_answers_on_a_cpu(corpus: Path, tmp_path: Path) -> None:
    report = train_tiny(corpus, tmp_path, precision="bf16-mixed", **ON_GPU)
    assert report["validation_nats_per_token"] < 5
    model = load_bundle(tmp_path / "bundle").model
    assert {weight.device.type for weight in model.parameters()} == {"cpu"}
    tokens = torch.arange(1, 9)[None]
    logits, _ = model(tokens)
    on_gpu, _ = model.to("cuda")(tokens.to("cuda"))
    torch.testing.assert_close(on_gpu.cpu(), logits, atol=1e-3, rtol=1e-3)
