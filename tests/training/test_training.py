"""The stage train: schedule, optimizers, budgets, early stop, and what goes wrong."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from lmlab.bundle import build_model, load_bundle
from lmlab.config import validate
from lmlab.errors import InputError
from lmlab.run import Run
from lmlab.runtime import RuntimeSettings
from lmlab.training.checkpoint import FILE_NAME, read_checkpoint, write_checkpoint
from lmlab.training.learner import summed_nats
from lmlab.training.optimizers import Muon, build_optimizers, orthogonalized, set_learning_rates
from lmlab.training.schedule import learning_rate_share
from lmlab.training.settings import TrainingSettings
from lmlab.training.speed import Speed
from tests.corpus import encoded_corpus
from tests.training.train_tiny import MODEL_SETTINGS, MUON, RUNTIME, TRAINING, train_tiny


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    encoded_corpus(folder)
    return folder


def _settings(**changes: object) -> TrainingSettings:
    return validate(TrainingSettings, TRAINING | changes, path="training")


def test_the_schedule_rises_stays_and_falls_as_worked_out_by_hand() -> None:
    settings = _settings(max_steps=10, warmup_steps=2, decay_share=0.4, final_learning_rate_share=0.2)
    shares = [learning_rate_share(step, settings) for step in range(10)]
    # Four steps of decay: at steps 6 to 9 there are 4, 3, 2, 1 of 4 left, scaled onto 1 to 0.2.
    assert shares == pytest.approx([0.5, 1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4])


@pytest.mark.parametrize(
    ("max_steps", "max_tokens", "steps"), [(7, None, 7), (None, 640, 10), (7, 640, 7), (100, 640, 10)]
)
def test_the_first_budget_that_is_reached_counts(max_steps: int, max_tokens: int, steps: int) -> None:
    assert _settings(max_steps=max_steps, max_tokens=max_tokens).num_steps == steps


@pytest.mark.parametrize("optimizer", [TRAINING["optimizer"], MUON], ids=lambda values: values["name"])
def test_every_parameter_is_moved_by_one_optimizer(optimizer: dict) -> None:
    model = build_model(MODEL_SETTINGS["transformer"], vocabulary_size=20, context_length=32, path="model")
    optimizers = build_optimizers(model, _settings(optimizer=optimizer))
    moved = [id(weight) for one in optimizers for group in one.param_groups for weight in group["params"]]
    assert sorted(moved) == sorted(id(weight) for weight in model.parameters())


def test_muon_moves_hidden_matrices_and_nothing_else() -> None:
    model = build_model(MODEL_SETTINGS["transformer"], vocabulary_size=20, context_length=32, path="model")
    muon, adamw = build_optimizers(model, _settings(optimizer=MUON))
    assert all(weight.ndim == 2 for weight in muon.param_groups[0]["params"])
    assert any(weight is model.embedding_parameters()[0] for weight in adamw.param_groups[0]["params"])


@pytest.mark.parametrize("shape", [(24, 16), (16, 24), (16, 16)])
def test_muon_steps_as_torchs_own_does_but_for_its_rounding(shape: tuple[int, int]) -> None:
    draw = torch.Generator().manual_seed(0)
    start = torch.randn(shape, generator=draw)
    ours, torchs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    optimizers = [
        Muon([ours], lr=0.1, momentum=0.9, weight_decay=0.1),
        torch.optim.Muon([torchs], lr=0.1, momentum=0.9, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    ]
    for _ in range(4):
        gradient = torch.randn(shape, generator=draw)
        for weight, optimizer in zip((ours, torchs), optimizers, strict=True):
            weight.grad = gradient.clone()
            optimizer.step()
    # bfloat16 keeps 8 bits, and four steps of at most 0.1 were made.
    torch.testing.assert_close(ours, torchs, atol=0.01, rtol=0)
    assert (ours - start).abs().max() > 0.1


def test_learning_rates_are_shares_of_each_groups_own() -> None:
    model = build_model(MODEL_SETTINGS["transformer"], vocabulary_size=20, context_length=32, path="model")
    optimizers = build_optimizers(model, _settings(optimizer=MUON | {"adamw_learning_rate_ratio": 0.1}))
    set_learning_rates(optimizers, 0.5)
    set_learning_rates(optimizers, 0.5)
    assert [one.param_groups[0]["lr"] for one in optimizers] == pytest.approx([0.005, 0.0005])


@pytest.mark.parametrize("shape", [(4, 4), (5, 4), (4, 9), (9, 4)])
@pytest.mark.parametrize("num_steps", [1, 3, 5])
def test_both_ways_to_orthogonalize_move_singular_values_alike(shape: tuple[int, int], num_steps: int) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape, dtype=torch.float64)
    left, values, right = torch.linalg.svd(matrix / matrix.norm(), full_matrices=False)
    for _ in range(num_steps):
        values = 3.4 * values - 4.8 * values**3 + 2.0 * values**5
    found = orthogonalized(matrix, (3.4, -4.8, 2.0), num_steps)
    torch.testing.assert_close(found, left @ values.diag() @ right)


@pytest.mark.parametrize("shape", [(16, 16), (16, 72), (72, 16)])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("num_steps", [3, 5, 10])
def test_small_singular_values_outgrow_none(shape: tuple[int, int], precision: torch.dtype, num_steps: int) -> None:
    torch.manual_seed(0)
    for _ in range(20):
        left, _, right = torch.linalg.svd(torch.randn(shape), full_matrices=False)
        matrix = left @ (10 ** (-6 * torch.rand(16))).diag() @ right
        found = orthogonalized(matrix.to(precision), (3.4445, -4.775, 2.0315), num_steps).float()
        assert torch.linalg.matrix_norm(found, 2) < 1.4


def test_a_stack_of_matrices_is_orthogonalized_as_each_by_itself() -> None:
    torch.manual_seed(0)
    for shape in ((4, 4), (5, 4), (4, 9), (9, 4)):
        matrices = torch.randn(3, *shape, dtype=torch.float64)
        each = [orthogonalized(matrix, (3.4, -4.8, 2.0), 3) for matrix in matrices]
        torch.testing.assert_close(orthogonalized(matrices, (3.4, -4.8, 2.0), 3), torch.stack(each))


def test_the_loss_leaves_out_what_is_not_a_target() -> None:
    model = build_model(MODEL_SETTINGS["transformer"], vocabulary_size=20, context_length=32, path="model").eval()
    inputs, targets = torch.tensor([[3, 1, 2]]), torch.tensor([[1, 2, -100]])
    nats = -model(inputs)[0].log_softmax(-1)
    features, _ = model.read(inputs)
    torch.testing.assert_close(summed_nats(model, features, targets, all_count=False), nats[0, 0, 1] + nats[0, 1, 2])
    torch.testing.assert_close(
        summed_nats(model, features[:, :2], targets[:, :2], all_count=True), nats[0, 0, 1] + nats[0, 1, 2]
    )


def test_training_learns_and_keeps_its_best_weights(corpus: Path, tmp_path: Path) -> None:
    report = train_tiny(corpus, tmp_path, max_steps=60)
    rows = [line.split(",") for line in (tmp_path / "history.csv").read_text().splitlines()[1:]]
    validations = [float(row[4]) for row in rows if row[4]]
    assert len(validations) == 6
    assert report["validation_nats_per_token"] == min(validations)
    assert validations[-1] < validations[0] - 0.5
    assert load_bundle(tmp_path / "bundle").config["training"] == report


def test_accumulating_gives_the_gradients_of_the_whole_batch(corpus: Path, tmp_path: Path) -> None:
    reports = {}
    for accumulate in (1, 4):
        settings = {"accumulate": accumulate, "carry_state": True, "max_steps": 10, "model": "lstm"}
        train_tiny(corpus, tmp_path / str(accumulate), **settings, learning_rate=1e-4)
        rows = (tmp_path / str(accumulate) / "history.csv").read_text().splitlines()
        reports[accumulate] = float(rows[-1].split(",")[4])
    # Dropout draws other masks for other parts; so small a learning rate hides all but a wrong scale.
    assert reports[1] == pytest.approx(reports[4], abs=1e-3)


def test_a_training_that_no_longer_gets_better_ends_early(corpus: Path, tmp_path: Path) -> None:
    report = train_tiny(
        corpus,
        tmp_path,
        max_steps=200,
        learning_rate=1e-12,
        warmup_steps=0,
        early_stop_validations=2,
        validate_every_steps=5,
        final_learning_rate_share=1.0,
    )
    assert report["stopped_by"] == "early stop"
    assert report["steps"] < 200


def test_a_training_that_had_ended_early_and_was_killed_while_writing_ends_with_the_same_bytes(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lmlab.training import train

    settings: dict[str, Any] = {"max_steps": 200, "early_stop_validations": 1, "validate_every_steps": 2}
    whole = train_tiny(corpus, tmp_path / "whole", **settings)
    assert whole["stopped_by"] == "early stop"
    with monkeypatch.context() as patched:
        patched.setattr(train, "save_bundle", _full_disk)
        with pytest.raises(OSError, match="full"):
            train_tiny(corpus, tmp_path / "killed", **settings)
    assert train_tiny(corpus, tmp_path / "killed", **settings) == whole
    for name in ("bundle/model.safetensors", "history.csv", "training.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def _full_disk(*_: object, **__: object) -> None:
    raise OSError("the disk is full")


def test_a_machine_with_another_accelerator_trains_on_the_cpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from pytorch_lightning.accelerators import CPUAccelerator, MPSAccelerator

    from lmlab.training.processes import World
    from lmlab.training.train import build_trainer

    monkeypatch.setattr(MPSAccelerator, "is_available", staticmethod(lambda: True))
    runtime = validate(RuntimeSettings, RUNTIME | {"accelerator": "auto"}, path="runtime")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    trainer = build_trainer(_settings(), runtime, World.of_environment(), folder=tmp_path, callbacks=[])
    assert isinstance(trainer.accelerator, CPUAccelerator)


@pytest.mark.parametrize("max_steps", [None, 100])
def test_fewer_tokens_than_a_step_reads_are_refused(max_steps: int | None) -> None:
    with pytest.raises(InputError, match="max_tokens must be at least one step's 64 tokens"):
        _settings(max_steps=max_steps, max_tokens=10)


def test_a_loss_that_is_not_finite_names_the_step_and_leaves_no_bundle(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lmlab.training import learner

    original = learner.summed_nats
    calls = iter(range(100))

    def sometimes_nan(*arguments: Any, **how: Any) -> torch.Tensor:
        return original(*arguments, **how) * (float("nan") if next(calls) > 9 else 1)

    monkeypatch.setattr(learner, "summed_nats", sometimes_nan)
    with pytest.raises(InputError, match=r"training step 6: the loss is nan; lower training\.learning_rate"):
        train_tiny(corpus, tmp_path)
    assert not (tmp_path / "bundle").exists()


def test_a_compiled_training_learns_the_same(corpus: Path, tmp_path: Path) -> None:
    settings = {"max_steps": 10, "learning_rate": 1e-3}
    plain = train_tiny(corpus, tmp_path / "plain", **settings)["validation_nats_per_token"]
    # In a process of its own: torch cannot compile the checks of shapes that tests put around functions.
    words = [str(corpus), str(tmp_path / "compiled"), json.dumps(settings | {"compile": True})]
    subprocess.run([sys.executable, "-m", "tests.training.train_tiny", *words], check=True, capture_output=True)
    compiled = json.loads((tmp_path / "compiled" / "training.json").read_text())["validation_nats_per_token"]
    # Dropout draws other masks in a compiled program.
    assert compiled == pytest.approx(plain, rel=0.01)


def test_compiling_what_torch_would_unroll_is_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"training\.compile: .*: false"):
        train_tiny(corpus, tmp_path, model="lstm", compile=True)


def test_the_speed_is_told_as_a_share_of_what_the_products_alone_would_reach() -> None:
    seen: list[dict[str, float]] = []

    class Seeing(Run):
        def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:  # noqa: ARG002
            seen.append(dict(metrics))

    speed = Speed(Seeing())
    speed.peak_tokens_per_second = 1000.0
    for tokens in (10, 20, 20):
        speed({"tokens": tokens}, tokens)
    assert list(seen[0]) == ["tokens"]
    assert seen[1]["share_of_peak"] == seen[1]["tokens_per_second"] / 1000
    assert seen[2] == {}


def test_operations_are_those_counted_by_hand() -> None:
    model = build_model(MODEL_SETTINGS["transformer"], vocabulary_size=20, context_length=32, path="model")
    embedding = model.embedding_parameters()[0].numel()
    others = model.num_parameters() - embedding
    shape = MODEL_SETTINGS["transformer"]
    # Scores and values: two products of width with 5 positions each on average, forward and twice backward, 2 for each.
    attention = 6 * 100 * shape["layers"] * 2 * shape["width"] * 10 / 2
    expected = 6 * (100 * others + 30 * embedding) + attention
    assert model.training_operations(tokens=100, targets=30, length=10) == expected


def test_two_trainings_in_one_folder_are_refused(corpus: Path, tmp_path: Path) -> None:
    from filelock import FileLock

    with (
        FileLock(tmp_path / "checkpoints.lock"),
        pytest.raises(InputError, match="another process trains in"),
    ):
        train_tiny(corpus, tmp_path)


def test_a_damaged_checkpoint_is_named_and_not_loaded(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, {"progress": {"step": 3}})
    assert read_checkpoint(tmp_path) == {"progress": {"step": 3}}
    path = tmp_path / FILE_NAME
    stored = bytearray(path.read_bytes())
    stored[len(stored) // 2] ^= 1
    path.write_bytes(stored)
    with pytest.raises(InputError, match="is damaged"):
        read_checkpoint(tmp_path)


def test_a_pickle_in_place_of_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    import hashlib
    import pickle

    class Evil:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "owned",))

    payload = pickle.dumps(Evil(), protocol=2)
    (tmp_path / FILE_NAME).write_bytes(hashlib.sha256(payload).digest() + payload)
    with pytest.raises(InputError, match="is not a checkpoint"):
        read_checkpoint(tmp_path)
    assert not (tmp_path / "owned").exists()
