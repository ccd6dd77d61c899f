"""A process that trains along, started by the stage train with its task on standard input.

It says nothing where the fault is another's: rank 0 tells what happened.
"""

import json
import logging
import os
import signal
import sys
import threading
import warnings
from pathlib import Path

from lmlab.config import validate
from lmlab.models import MODELS
from lmlab.runtime import RuntimeSettings
from lmlab.training.settings import TrainingSettings
from lmlab.training.train import TrainInputs, TrainSettings, join_training


def main() -> None:
    """Read the task, train along, and end with the first process."""
    # Ctrl-C reaches all processes of a terminal; the first one says what becomes of the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger("lmlab").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    task = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    settings = TrainSettings(
        task["seed"],
        validate(MODELS.get(task["model"]["name"]).settings, task["model"], path="model"),
        validate(TrainingSettings, task["training"], path="training"),
        validate(RuntimeSettings, task["runtime"], path="runtime"),
    )
    inputs = TrainInputs(Path(task["tokens"]), Path(task["tokenizer"]))
    join_training(settings, inputs, Path(task["checkpoints"]))


def _end_with_the_first() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
