"""What loss a given time buys: tinyshakespeare by characters, the whole process counted, on the CPU or a GPU.

    python -m benchmarks.time_to_loss --text input.txt
    python -m benchmarks.time_to_loss --text input.txt --nanogpt FOLDER
    python -m benchmarks.time_to_loss --text input.txt --nanogpt FOLDER --quick
    python -m benchmarks.time_to_loss --text input.txt --nanogpt FOLDER --gpu

lmlab runs `pipelines.run experiment=tinyshakespeare` (with --quick tinyshakespeare_quick, which is an LSTM's and ends
soon; with --gpu tinyshakespeare_gpu) in a fresh project: start, cleaning, encoding, training, evaluation of the last
tenth of the text, export, report. nanoGPT, a checkout of github.com/karpathy/nanoGPT, runs the training on a CPU or a
GPU that its README documents: start, training, its own validation by sampling; its preparation of the text is not
counted. Its time ends where it had its best loss. Losses are in nats a character; lmlab reads as much context as its
models can, nanoGPT its window.
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
NANO_CONFIG = "config/train_shakespeare_char.py"
NANO_ON_CPU = (
    *("--device=cpu", "--compile=False", "--eval_iters=200", "--log_interval=100", "--eval_interval=2000"),
    *("--block_size=64", "--batch_size=12", "--n_layer=4", "--n_head=4", "--n_embd=128", "--dropout=0.0"),
    *("--max_iters=2000", "--lr_decay_iters=2000"),
)
EXPERIMENTS = {"": "tinyshakespeare", "--quick": "tinyshakespeare_quick", "--gpu": "tinyshakespeare_gpu"}
QUESTIONS = {
    "": "What loss does a given time buy on a CPU?",
    "--quick": "How soon is nanoGPT's loss reached on a CPU?",
    "--gpu": "What loss does a given time buy on a GPU?",
}
NOTES = (
    "Needs `--text input.txt --nanogpt FOLDER` too. tinyshakespeare by characters. Of lmlab the whole process counts, "
    "from start to exports, and the loss over the whole last tenth; of nanoGPT, with the settings that its README "
    "names, training alone, and its own sampled validation of that tenth."
)
LINKED = ("conf", "src", "pipelines", "dvc.yaml", "constraints.txt")


def main() -> None:
    """Print the table and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, help="input.txt of tinyshakespeare")
    parser.add_argument("--nanogpt", type=Path, help="a checkout of nanoGPT")
    parser.add_argument("--models", nargs="+", help="default: all three; with --quick lstm")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument(
        "--quick", dest="mode", action="store_const", const="--quick", default="", help="a short training"
    )
    parser.add_argument("--gpu", dest="mode", action="store_const", const="--gpu", help="both on a GPU")
    parser.add_argument("--limit", type=float, default=math.inf, help="seconds after which nanoGPT is stopped")
    options, overrides = parser.parse_known_args()
    if options.text is None:
        print("time_to_loss: left out, since no text was given: --text input.txt")
        return
    models = options.models or (["lstm"] if options.mode == "--quick" else ["transformer", "lstm", "gru"])
    names = [*models, *([NAME] if options.nanogpt else [])]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for _ in range(options.rounds):
        for name in names:
            found[name].append(
                run_nanogpt(options.nanogpt, options.text, on_gpu=options.mode == "--gpu", limit=options.limit)
                if name == NAME
                else run_lmlab(EXPERIMENTS[options.mode], name, options.text.absolute(), overrides)
            )
            print(f"{name}: {found[name][-1][0]:.1f} s, {found[name][-1][1]:.4f} nats a character", flush=True)
    report("time_to_loss", QUESTIONS[options.mode], cases(found, models), notes=NOTES, options=options.mode)


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


def run_lmlab(experiment: str, model: str, text: Path, overrides: list[str]) -> tuple[float, float]:
    """Seconds of the whole process, and the loss of the last tenth."""
    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch)
        for name in LINKED:
            (project / name).symlink_to(ROOT / name)
        command = [sys.executable, "-m", "pipelines.run", f"experiment={experiment}", f"model={model}"]
        began = time.perf_counter()
        done = subprocess.run(
            [*command, f"source.path={text}", "runtime.tracking=false", *overrides],
            check=False,
            cwd=project,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        seconds = time.perf_counter() - began
        if done.returncode:
            sys.exit(f"time_to_loss: {' '.join(command[2:])} failed:\n{done.stderr}")
        (path,) = project.glob("work/evaluate-*/evaluation.json")
        perplexity = json.loads(path.read_text(encoding="utf-8"))["perplexity"]
    return seconds, math.log(perplexity)


def run_nanogpt(folder: Path, text: Path, *, on_gpu: bool, limit: float) -> tuple[float, float]:
    """Seconds of its training process until its best validation loss, and that loss."""
    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch) / "nanoGPT"
        shutil.copytree(folder, project, ignore=shutil.ignore_patterns(".git"))
        shutil.copy(text, project / "data" / "shakespeare_char" / "input.txt")
        subprocess.run(
            [sys.executable, "data/shakespeare_char/prepare.py"], check=True, cwd=project, stdout=subprocess.DEVNULL
        )
        began = time.perf_counter()
        losses: list[tuple[float, float]] = []
        with subprocess.Popen(
            [sys.executable, "-u", "train.py", NANO_CONFIG, *(() if on_gpu else NANO_ON_CPU)],
            cwd=project,
            env=os.environ | {"PYTHONPATH": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if found := re.search(r"val loss ([0-9.]+)", line):
                    losses.append((float(found[1]), time.perf_counter() - began))
                if time.perf_counter() - began > limit:
                    process.kill()
        if not losses:
            sys.exit(f"time_to_loss: nanoGPT ended with exit code {process.returncode}")
    loss, seconds = min(losses)
    return seconds, loss


if __name__ == "__main__":
    main()
