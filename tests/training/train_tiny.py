"""A tiny training as a process of its own, to be killed.

python -m tests.training.train_tiny ENCODED OUTPUTS CHANGES (JSON) prints the number of each step that is done.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lmlab.config import validate
from lmlab.models import MODELS
from lmlab.run import Run
from lmlab.runtime import RuntimeSettings
from lmlab.training.settings import TrainingSettings

MODEL_SETTINGS: dict[str, dict[str, Any]] = {
    "lstm": {"name": "lstm", "embedding_width": 16, "width": 24, "layers": 1, "dropout": 0.2, "attention_span": 0},
    "gru": {"name": "gru", "embedding_width": 16, "width": 24, "layers": 2, "dropout": 0.2, "attention_span": 9},
    "transformer": {
        "name": "transformer",
        "width": 32,
        "layers": 2,
        "heads": 2,
        "key_heads": 1,
        "feed_forward_width": 48,
        "rotary_base": 10000.0,
        "dropout": 0.2,
    },
    "pretrained": {
        "name": "pretrained",
        "source": None,
        "architecture": {
            "model_type": "gpt2",
            "vocab_size": 300,
            "n_positions": 32,
            "n_embd": 32,
            "n_layer": 2,
            "n_head": 2,
        },
        "depends_on": None,
    },
}
ADAMW = {"name": "adamw", "beta1": 0.9, "beta2": 0.98, "weight_decay": 0.1}
MUON = {
    "name": "muon",
    "momentum": 0.95,
    "newton_schulz_steps": 5,
    "weight_decay": 0.0,
    "beta1": 0.9,
    "beta2": 0.98,
    "adamw_learning_rate_ratio": 1.0,
}
TRAINING: dict[str, Any] = {
    "start_from": None,
    "depends_on": "constraints.txt",
    "max_steps": 30,
    "max_tokens": None,
    "batch_rows": 4,
    "accumulate": 2,
    "sequence_length": 16,
    "carry_state": False,
    "learning_rate": 0.01,
    "optimizer": ADAMW,
    "warmup_steps": 3,
    "decay_share": 0.5,
    "final_learning_rate_share": 0.0,
    "gradient_clip_norm": 1.0,
    "precision": "32-true",
    "compile": False,
    "log_every_steps": 4,
    "validate_every_steps": 10,
    "validation_tokens": 500,
    "early_stop_validations": None,
}
RUNTIME: dict[str, Any] = {
    "accelerator": "cpu",
    "devices": 1,
    "strategy": "ddp",
    "threads": 1,
    "preparation": {"name": "processes"},
    "workers": 0,
    "checkpoint_every_seconds": 0.0,
    "tracking": False,
}


class PrintedRun(Run):
    """Tells of each point of the curves on standard output."""

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Print the step."""
        print(step, sorted(metrics), flush=True)


def train_tiny(encoded: Path, outputs: Path, *, seed: int = 1, model: str = "transformer", **changes: Any) -> dict:
    """Train with these changes to the settings of a tiny training.

    `runtime` holds changes to the settings of the machine, `shape` those to the model's.
    """
    from lmlab.training.train import TrainInputs, TrainOutputs, TrainSettings, train

    runtime = RUNTIME | changes.pop("runtime", {})
    shape = MODEL_SETTINGS[model] | changes.pop("shape", {})
    settings = TrainSettings(
        seed,
        validate(MODELS.get(model).settings, shape, path="model"),
        validate(TrainingSettings, TRAINING | changes, path="training"),
        validate(RuntimeSettings, runtime, path="runtime"),
    )
    paths = TrainOutputs(
        outputs / "bundle", outputs / "history.csv", outputs / "training.json", outputs / "checkpoints"
    )
    return train(settings, TrainInputs(encoded / "tokens", encoded / "tokenizer"), paths, PrintedRun())


if __name__ == "__main__":
    train_tiny(Path(sys.argv[1]), Path(sys.argv[2]), **json.loads(sys.argv[3]))
