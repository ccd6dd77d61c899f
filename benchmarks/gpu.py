"""Training of models of about 100 million parameters on one GPU, in bfloat16: how near to what the GPU can do.

python -m benchmarks.gpu
python -m benchmarks.gpu --models transformer training.compile=false
"""

import argparse
import time
from typing import Any

import numpy as np
import torch

from benchmarks.measuring import OURS, Case, report
from benchmarks.scaling.hardware import H100
from benchmarks.training import Work
from lmlab.training.lightning import pl
from lmlab.training.speed import peak_operations_per_second

QUESTIONS = """Text of random tokens out of 16,384, the stage's own learner in Lightning's Trainer with all that the
stage does beside. MFU: the operations of the training, attention's with half of a row, over 989.4 TFLOP/s, what NVIDIA
names for dense bfloat16 on the H100 and H200 SXM. The products are of 8,192 x 8,192 random matrices in the same run.
Transformer: 7 layers, 1,024 wide, 64 rows of 1,024 tokens, Muon, compiled; LSTM and GRU: 2 layers, 2,048 wide, 256 rows
of 256 tokens, their state carried along, Muon."""
COMMON = ["training/optimizer=muon_quick", "training.precision=bf16-mixed", "training.log_every_steps=10"]
RECURRENT = [
    *("model.embedding_width=2048", "model.width=2048", "model.layers=2"),
    *("training.batch_rows=256", "training.sequence_length=256"),
]
SHAPES = {
    "transformer": [
        *("model.width=1024", "model.layers=7", "model.heads=8", "model.key_heads=8", "model.feed_forward_width=2816"),
        *("training.batch_rows=64", "training.sequence_length=1024", "training.compile=true"),
    ],
    "lstm": RECURRENT,
    "gru": RECURRENT,
}
VOCABULARY_SIZE = 16_384
WARM_UP, ROUND = 10, 10
"""Optimizer steps: the first ones compile."""


def main() -> None:
    """Print the table and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument("--rounds", type=int, default=3)
    options, overrides = parser.parse_known_args()
    if not torch.cuda.is_available():
        print("gpu: left out, since torch finds no GPU here")
        return
    cases = [case for name in options.models for case in measured(name, options.rounds, overrides)]
    report("gpu", "How fast is a model of 100 million parameters trained on a GPU?", cases, notes=QUESTIONS)


def measured(name: str, rounds: int, overrides: list[str]) -> list[Case]:
    """Tokens a second, shares and memory of one model."""
    work = Work([f"model={name}", *COMMON, *SHAPES[name], *overrides], VOCABULARY_SIZE, accelerator="gpu")
    tokens = work.rows * work.time
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    speeds, parameters = train(work, rounds)
    memory = torch.cuda.max_memory_allocated()
    model = work.model()
    operations = model.training_operations(tokens=tokens, targets=tokens, length=work.time) / tokens
    peak = peak_operations_per_second(torch.device("cuda"), torch.bfloat16)
    title = f"{name}, {parameters / 1e6:.0f} million parameters"
    return [
        Case(
            f"{title}: speed",
            "tokens/s",
            True,
            {OURS: speeds, "the GPU's products alone": [peak / operations] * rounds},
        ),
        Case(f"{title}: MFU", "%", True, {OURS: [100 * speed * operations / H100.peak_bfloat16 for speed in speeds]}),
        Case(f"{title}: memory", "GB", False, {OURS: [memory / 1e9]}),
    ]


def train(work: Work, rounds: int) -> tuple[list[float], int]:
    """Tokens a second of each round, and the number of parameters."""
    # A step more, since the last one is followed by a validation.
    learner, clock = work.learner(WARM_UP + rounds * ROUND + 1), Clock()
    work.fit(learner, clock)
    seconds = np.diff(clock.ends)
    print(f"{work.model_settings['name']}: {clock.first:.1f} s until the first {WARM_UP} steps were done", flush=True)
    return [ROUND * work.rows * work.time / one for one in seconds], learner.model.num_parameters()


class Clock(pl.Callback):
    """When each round of steps had ended on the GPU."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.first = 0.0

    def on_train_start(self, *_: Any, **__: Any) -> None:
        self._began = time.perf_counter()

    def on_train_batch_end(self, *arguments: Any, **__: Any) -> None:
        done = arguments[1].progress.step
        if done >= WARM_UP and (done - WARM_UP) % ROUND == 0:
            torch.cuda.synchronize()
            self.ends.append(time.perf_counter())
            self.first = self.ends[0] - self._began


if __name__ == "__main__":
    main()
