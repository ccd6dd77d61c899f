"""How far a training is: what a resume checkpoint holds beside weights and optimizers."""

import csv
import io
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lmlab.files import whole_file

HISTORY_COLUMNS: tuple[str, ...] = (
    "step",
    "tokens",
    "learning_rate",
    "train_nats_per_token",
    "validation_nats_per_token",
    "validation_bits_per_byte",
)


@dataclass
class Progress:
    """Grows with each step; every number in it is decided by the settings and the data."""

    step: int = 0
    """Optimizer steps done."""
    best_nats_per_token: float = math.inf
    best_bits_per_byte: float = math.inf
    best_step: int = 0
    validations_without_best: int = 0
    stopped_by: str = ""
    nats_since_log: float = 0.0
    steps_since_log: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    def as_dict(self) -> dict:
        """Plain values, as a checkpoint holds them."""
        return asdict(self)

    def record(self, values: dict[str, float]) -> None:
        """Add measurements at the present step to the history."""
        if self.history and self.history[-1]["step"] == self.step:
            self.history[-1].update(values)
        else:
            self.history.append({"step": self.step, **values})


def write_history(path: Path, history: list[dict[str, float]]) -> None:
    """Write the history as CSV; what was not measured at a step stays empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, HISTORY_COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    with whole_file(path) as partial:
        partial.write_text(text.getvalue(), encoding="utf-8")
