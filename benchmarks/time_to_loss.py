"""What loss a given time buys: tinyshakespeare by characters, the whole process counted, on the CPU.

    python -m benchmarks.time_to_loss --text input.txt
    python -m benchmarks.time_to_loss --text input.txt --nanogpt FOLDER

lmlab runs `pipelines.run experiment=tinyshakespeare` in a fresh project: start, cleaning, encoding, training,
evaluation of the last tenth of the text, export, report. nanoGPT, a checkout of github.com/karpathy/nanoGPT, runs the
training on a CPU that its README documents: start, training, its own validation by sampling; its preparation of the
text is not counted. Losses are in nats a character; lmlab reads as much context as its models can, nanoGPT its window.
"""

import argparse
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measuring import OURS, Case, report

ROOT = Path(__file__).absolute().parents[1]
NAME = "nanoGPT"
NANO_ARGUMENTS = (
    "config/train_shakespeare_char.py",
    *("--device=cpu", "--compile=False", "--eval_iters=200", "--log_interval=100", "--eval_interval=2000"),
    *("--block_size=64", "--batch_size=12", "--n_layer=4", "--n_head=4", "--n_embd=128", "--dropout=0.0"),
    *("--max_iters=2000", "--lr_decay_iters=2000"),
)
LINKED = ("conf", "src", "pipelines", "dvc.yaml", "constraints.txt")


def main() -> None:
    """Print the table and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, help="input.txt of tinyshakespeare")
    parser.add_argument("--nanogpt", type=Path, help="a checkout of nanoGPT")
    parser.add_argument("--models", nargs="+", default=["transformer", "lstm", "gru"])
    parser.add_argument("--rounds", type=int, default=1)
    options, overrides = parser.parse_known_args()
    if options.text is None:
        print("time_to_loss: left out, since no text was given: --text input.txt")
        return
    names = [*options.models, *([NAME] if options.nanogpt else [])]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for _ in range(options.rounds):
        for name in names:
            found[name].append(
                run_nanogpt(options.nanogpt, options.text)
                if name == NAME
                else run_lmlab(name, options.text.absolute(), overrides)
            )
            print(f"{name}: {found[name][-1][0]:.1f} s, {found[name][-1][1]:.4f} nats a character", flush=True)
    report("time_to_loss", "What loss does a given time buy?", cases(found, options.models))


def cases(found: dict[str, list[tuple[float, float]]], models: list[str]) -> list[Case]:
    """Seconds and loss of each model beside nanoGPT's."""
    made = []
    for model in models:
        for place, unit in enumerate(("s", "nats/character")):
            values = {OURS: [one[place] for one in found[model]]}
            if NAME in found:
                values[NAME] = [one[place] for one in found[NAME]]
            made.append(Case(model, unit, False, values))
    return made


def run_lmlab(model: str, text: Path, overrides: list[str]) -> tuple[float, float]:
    """Seconds of the whole process, and the loss of the last tenth."""
    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch)
        for name in LINKED:
            (project / name).symlink_to(ROOT / name)
        command = [sys.executable, "-m", "pipelines.run", "experiment=tinyshakespeare", f"model={model}"]
        began = time.perf_counter()
        subprocess.run(
            [*command, f"source.path={text}", "runtime.tracking=false", *overrides],
            check=True,
            cwd=project,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        seconds = time.perf_counter() - began
        (path,) = project.glob("work/evaluate-*/evaluation.json")
        perplexity = json.loads(path.read_text(encoding="utf-8"))["perplexity"]
    return seconds, math.log(perplexity)


def run_nanogpt(folder: Path, text: Path) -> tuple[float, float]:
    """Seconds of its training process, and the last validation loss that it prints."""
    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch) / "nanoGPT"
        shutil.copytree(folder, project, ignore=shutil.ignore_patterns(".git"))
        shutil.copy(text, project / "data" / "shakespeare_char" / "input.txt")
        subprocess.run(
            [sys.executable, "data/shakespeare_char/prepare.py"], check=True, cwd=project, stdout=subprocess.DEVNULL
        )
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "train.py", *NANO_ARGUMENTS],
            check=True,
            cwd=project,
            env=os.environ | {"PYTHONPATH": ""},
            capture_output=True,
            text=True,
        )
        seconds = time.perf_counter() - began
    return seconds, float(re.findall(r"val loss ([0-9.]+)", done.stdout)[-1])


if __name__ == "__main__":
    main()
