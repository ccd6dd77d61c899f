"""Training tokens a second of lmlab, of others and of the machine's own limit, side by side in one run on the CPU.

python -m benchmarks.training
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.measuring import OURS, Case, in_turns, report
from lmlab.bundle import build_model
from lmlab.data.batches import Batch, TextPlan, Validation
from lmlab.data.store import TokenStore
from lmlab.memory import keep_freed_memory
from lmlab.models.architectures import normalizing, recurrent
from lmlab.models.architectures.language_model import LanguageModel
from lmlab.runtime import RuntimeSettings
from lmlab.training.callbacks import Bar, KeepBest, Resume
from lmlab.training.learner import Learner
from lmlab.training.lightning import pl
from lmlab.training.optimizers import build_optimizers
from lmlab.training.processes import World
from lmlab.training.settings import TrainingSettings
from lmlab.training.speed import peak_operations_per_second
from lmlab.training.train import build_trainer
from pipelines.compose import compose
from pipelines.settings import validate_params

QUESTIONS = """Text of random tokens, whose speed is that of any text; the speed of a round is that of its median step.
nanoGPT's shape: a Transformer of 4 layers, 128 wide, 65 tokens, batches of 12 x 64, with AdamW. Default models: as
language modelling takes them, beside a bare loop with torch's own cells and normalization and the same optimizers. The
machine's products alone: all products of the model's matrices at the rate of large ones."""
BARE, TRAINER, PEAK = "the same step without Lightning", "transformers Trainer", "the machine's products alone"
NANO = [
    "model=transformer",
    "training/optimizer=adamw",
    "model.heads=4",
    "training.batch_rows=12",
    "training.sequence_length=64",
]
CHARACTERS = 65


def main() -> None:
    """Print the table and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12, help="optimizer steps of a round")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    cases = [nano_case(options)]
    cases += [default_case(name, 4096, options) for name in ("transformer", "lstm", "gru")]
    cases += [default_case(name, CHARACTERS, options) for name in ("lstm", "gru")]
    report("training", "How fast is a model trained?", cases, notes=QUESTIONS)


class Work:
    """A model with its settings and text of random tokens."""

    def __init__(self, overrides: list[str], vocabulary_size: int, *, accelerator: str = "cpu") -> None:
        params = compose([*overrides, f"runtime.accelerator={accelerator}"])
        self.settings: TrainingSettings = validate_params(params)["training"]
        self.runtime: RuntimeSettings = validate_params(params)["runtime"]
        self.model_settings, self.vocabulary_size = params["model"], vocabulary_size
        self.rows, self.time = self.settings.batch_rows, self.settings.sequence_length
        tokens = np.random.default_rng(0).integers(1, vocabulary_size, 64 * self.rows * self.time).astype(np.uint16)
        offsets = np.array([0, len(tokens)])
        none = np.zeros(1, np.int64)
        store = TokenStore(tokens, offsets, np.zeros(1, np.int32), none, none)
        self.plan = TextPlan(store, rows=self.rows, time=self.time, contiguous=self.settings.carry_state, seed=0)

    def model(self) -> LanguageModel:
        torch.manual_seed(0)
        return build_model(
            self.model_settings, vocabulary_size=self.vocabulary_size, context_length=self.time, path="model"
        )

    def learner(self, steps: int) -> Learner:
        """The stage's own, for so many optimizer steps and one validation of next to nothing."""
        one = np.zeros((1, 2), np.int64)
        return Learner(
            self.model(),
            self.settings.model_copy(update={"max_steps": steps, "validate_every_steps": steps}),
            plan=self.plan,
            validation=Validation([Batch(one, one, False)], 2),
            runtime=self.runtime,
            seed=0,
            watch=lambda *_: None,
        )

    def fit(self, learner: Learner, clock: pl.Callback) -> None:
        """Train in Lightning's Trainer as the stage sets it up."""
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            resume = Resume(learner, folder, self.settings, every_seconds=30)
            callbacks = [KeepBest(learner, folder, self.settings), resume, Bar(learner, self.settings), clock]
            build_trainer(self.settings, self.runtime, World(), folder=folder, callbacks=callbacks).fit(learner)
        torch.use_deterministic_algorithms(False)

    def peak_tokens_per_second(self) -> float:
        tokens = self.rows * self.time
        operations = self.model().training_operations(tokens=tokens, targets=tokens, length=self.time)
        return peak_operations_per_second(torch.device("cpu"), torch.float32) * tokens / operations

    def speed(self, seconds: list[float]) -> float:
        """Tokens a second of the median step; the first two warm up."""
        return self.rows * self.time / statistics.median(seconds[2:])


def nano_case(options: argparse.Namespace) -> Case:
    work = Work(NANO, CHARACTERS)
    ways = {
        OURS: lambda: by_lmlab(work, options.steps),
        TRAINER: lambda: by_trainer(work, options.steps),
        BARE: lambda: by_loop(work, options.steps),
        PEAK: work.peak_tokens_per_second,
    }
    return Case("nanoGPT's shape", "tokens/s", True, in_turns(ways, rounds=options.rounds))


def default_case(name: str, vocabulary_size: int, options: argparse.Namespace) -> Case:
    work = Work([f"model={name}"], vocabulary_size)
    ways: dict[str, Callable[[], float]] = {
        OURS: lambda: by_lmlab(work, options.steps),
        "a loop over torch's own": lambda: by_torch(work, options.steps),
        BARE: lambda: by_loop(work, options.steps),
        PEAK: work.peak_tokens_per_second,
    }
    return Case(f"{name}, {vocabulary_size:,} tokens", "tokens/s", True, in_turns(ways, rounds=options.rounds))


def by_lmlab(work: Work, steps: int) -> float:
    """The stage's own learner and Trainer."""
    times = Times()
    work.fit(work.learner(steps), times)
    return work.speed(times.seconds())


class Times(pl.Callback):
    """When each step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.perf_counter())

    def seconds(self) -> list[float]:
        return list(np.diff(self.ends))


def by_loop(work: Work, steps: int) -> float:
    """Lmlab's model and optimizers in the shortest loop."""
    model = work.model()
    optimizers = build_optimizers(model, work.settings)
    state, ends = None, [time.perf_counter()]
    for number in range(steps):
        batch = work.plan.batch(number)
        inputs, targets = torch.from_numpy(batch.inputs), torch.from_numpy(batch.targets)
        features, after = model.read(inputs, state if batch.goes_on else None)
        loss = functional.cross_entropy(model.logits(features).flatten(0, 1), targets.flatten())
        loss.backward()
        state = tuple(part.detach() for part in after)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        loss.item()
        ends.append(time.perf_counter())
    return work.speed(list(np.diff(ends)))


def by_torch(work: Work, steps: int) -> float:
    """The same loop on torch's own cells and normalization."""
    with torchs_own():
        return by_loop(work, steps)


@contextmanager
def torchs_own() -> Iterator[None]:
    pays, forward = recurrent.pays, normalizing.RmsNorm.forward
    recurrent.pays, normalizing.RmsNorm.forward = (lambda *_, **__: False), nn.RMSNorm.forward
    try:
        yield
    finally:
        recurrent.pays, normalizing.RmsNorm.forward = pays, forward


def by_trainer(work: Work, steps: int) -> float:
    """Transformers' Trainer with a Qwen3 of the same shape and AdamW."""
    from torch.utils.data import Dataset
    from transformers import Qwen3Config, Qwen3ForCausalLM, Trainer, TrainerCallback, TrainingArguments

    class Rows(Dataset):
        def __len__(self) -> int:
            return steps * work.rows

        def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
            row = torch.from_numpy(work.plan.batch(number // work.rows).inputs[number % work.rows])
            return {"input_ids": row, "labels": row}

    class Clock(TrainerCallback):
        def __init__(self) -> None:
            self.ends: list[float] = []

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.ends.append(time.perf_counter())

    shape = work.model_settings
    config = Qwen3Config(
        vocab_size=work.vocabulary_size,
        hidden_size=shape["width"],
        intermediate_size=shape["feed_forward_width"],
        num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        num_key_value_heads=shape["key_heads"],
        head_dim=shape["width"] // shape["heads"],
        max_position_embeddings=work.time,
        tie_word_embeddings=True,
    )
    clock = Clock()
    with tempfile.TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            output_dir=scratch,
            per_device_train_batch_size=work.rows,
            max_steps=steps,
            optim="adamw_torch_fused",
            use_cpu=True,
            report_to=[],
            disable_tqdm=True,
            save_strategy="no",
            logging_strategy="no",
        )
        trainer = Trainer(model=Qwen3ForCausalLM(config), args=arguments, train_dataset=Rows(), callbacks=[clock])
        trainer.train()
    return work.speed(list(np.diff(clock.ends)))


if __name__ == "__main__":
    main()
