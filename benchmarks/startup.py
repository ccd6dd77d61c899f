"""How long it takes until something happens: stages, `dvc repro` with nothing to do, the first output of commands.

Everything runs in a temporary project with a small text. A stage's start ends where its own work would begin, with
the run in MLflow being opened beside it; it is compared with bare imports of the libraries that its work needs.

Example: python -m benchmarks.startup --rounds 5 --only stages
"""

import argparse
import contextlib
import os
import pty
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.measuring import OURS, Case, in_turns, report
from pipelines.stages import MODULES, stage_paths

ROOT = Path(__file__).absolute().parents[1]
SETTINGS = "import omegaconf, pydantic\nclass Settings(pydantic.BaseModel):\n    one: int\n"
"""What reads and checks settings; pydantic imports half of itself for the first class."""
NEEDED = {
    "clean": f"{SETTINGS}import numpy, pyarrow.compute, ftfy, rensa",
    "encode": f"{SETTINGS}import numpy, pyarrow.parquet, tokenizers",
    "train": f"{SETTINGS}import torch, pytorch_lightning, tokenizers",
    "evaluate": f"{SETTINGS}import torch, pyarrow.parquet, tokenizers",
    "export": f"{SETTINGS}import torch, tokenizers, safetensors.torch",
    "report": "import yaml, jinja2",
}
"""The libraries without which a stage's own work cannot be done, imported at once."""

NOTES = (
    "A start ends where the stage's own work would begin. Imports that happen later are not in it: a ratio above 1 "
    "says that they come later, not that they are saved."
)

# A stage ends as soon as its own work would begin, so that no round changes what the next one finds.
START = """
import os, sys
import pipelines.stages as stages
from pipelines.command import set_up
stages.Stage.call = lambda *_: os._exit(0)
set_up()
stages.stage_command(sys.argv[0])
"""
OVERRIDES = (
    *("source=files", "source.path=text.txt", "source.depends_on=text.txt", "source.documents=paragraphs"),
    *("tokenizer.vocabulary_size=500", "training.max_steps=20", "training.validate_every_steps=20"),
    *("training.warmup_steps=10", "evaluation.baselines.training_megabytes=1"),
)
PARAGRAPH = "The {number}th paragraph tells of {number} things and of what became of each of them in turn.\n\n"
COMMANDS = {
    "compose": ["compose"],
    "compare": ["compare"],
    "run": ["run", *OVERRIDES],
    "apply": ["apply", "The 7th"],
    "train --help": ["train", "--help"],
    "evaluate --help": ["evaluate", "--help"],
}


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["dvc", "stages", "commands"], nargs="+", help="default: all three")
    options = parser.parse_args()
    chosen = set(options.only or ["dvc", "stages", "commands"])
    with tempfile.TemporaryDirectory() as scratch:
        project = made_project(Path(scratch) / "project")
        cases = dvc_cases(project, Path(scratch) / "empty", options.rounds) if "dvc" in chosen else []
        cases += stage_cases(project, options.rounds) if "stages" in chosen else []
        cases += command_cases(project, options.rounds) if "commands" in chosen else []
    report("startup", "How long does it take until something happens?", cases, notes=NOTES)


def made_project(project: Path) -> Path:
    """A copy of the project's code whose pipeline has run on a small text."""
    project.mkdir()
    for name in ("conf", "src", "pipelines"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("dvc.yaml", "constraints.txt", ".gitignore", ".dvcignore"):
        shutil.copy(ROOT / name, project)
    (project / "text.txt").write_text("".join(PARAGRAPH.format(number=n) for n in range(3000)), encoding="utf-8")
    ran(project, sys.executable, "-m", "pipelines.compose", *OVERRIDES, "runtime.tracking=false")
    under_dvc(project)
    ran(project, sys.executable, "-m", "pipelines.compose", *OVERRIDES)
    return project


def under_dvc(project: Path) -> None:
    """Put the folder under git and DVC as this project is, and run its pipeline."""
    ran(project, "git", "init", "--quiet")
    ran(project, *_dvc("init", "--quiet"))
    shutil.copy(ROOT / ".dvc" / "config", project / ".dvc" / "config")
    ran(project, *_dvc("repro"))
    ran(project, "git", "add", "--all")
    ran(project, "git", "-c", "user.name=b", "-c", "user.email=b@localhost", "commit", "--quiet", "-m", "all")


def empty_project(project: Path) -> Path:
    """A project with as many stages, each of which copies a line."""
    project.mkdir()
    lines, before = ["stages:"], "start.txt"
    for name in MODULES:
        lines += [f"  {name}:", f"    cmd: cp {before} {name}.txt", f"    deps: [{before}]", f"    outs: [{name}.txt]"]
        before = f"{name}.txt"
    (project / "start.txt").write_text("a line\n", encoding="utf-8")
    (project / "dvc.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    under_dvc(project)
    return project


def dvc_cases(project: Path, empty: Path, rounds: int) -> list[Case]:
    """`dvc repro` with nothing to do, here and where the stages are empty."""
    empty_project(empty)
    ways = {OURS: timed(project, *_dvc("repro")), "empty stages": timed(empty, *_dvc("repro"))}
    return [Case("dvc repro with nothing to do", "s", False, in_turns(ways, rounds=rounds))]


def stage_cases(project: Path, rounds: int) -> list[Case]:
    """Each stage's start, and the imports of what it needs."""
    cases = []
    for name, needed in NEEDED.items():
        words = [word for path in stage_paths(name) for word in (f"--{path.name}", path.path)]
        start = f"import sys; sys.argv = {[name, *words]}\n{START}"
        imports = f"{needed}\nimport os\nos._exit(0)"
        ways = {
            OURS: timed(project, sys.executable, "-c", start),
            "the imports it needs": timed(project, sys.executable, "-c", imports),
        }
        cases.append(Case(f"start of {name}", "s", False, in_turns(ways, rounds=rounds)))
    return cases


def command_cases(project: Path, rounds: int) -> list[Case]:
    """Until each command says something."""
    return [
        Case(
            f"first output of {name}",
            "s",
            False,
            in_turns({OURS: lambda words=words: seconds_until_output(project, words)}, rounds=rounds),
        )
        for name, words in COMMANDS.items()
    ]


def seconds_until_output(project: Path, words: Sequence[str]) -> float:
    """Seconds until a person at a terminal sees the command's first output."""
    ours, theirs = pty.openpty()
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", f"pipelines.{words[0]}", *words[1:]], **_in(project), stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    # A command that says nothing ends the read with an error.
    with contextlib.suppress(OSError):
        os.read(ours, 1)
    seconds = time.perf_counter() - began
    process.kill()
    process.wait()
    os.close(ours)
    return seconds


def timed(project: Path, *command: str) -> Callable[[], float]:
    """A function that runs the command and returns its seconds."""
    return lambda: ran(project, *command)


def ran(project: Path, *command: str) -> float:
    """Seconds of a command; what it says is shown if it fails."""
    began = time.perf_counter()
    with subprocess.Popen(
        command, **_in(project), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        process.wait()
        seconds = time.perf_counter() - began
        # Ends when what the command has started, such as a tracker, has ended, which would slow the next one down.
        said = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"{shlex.join(command)[:300]} failed:\n{said}")
    return seconds


def _in(project: Path) -> dict:
    """The folder and environment in which the project's own code runs, with this interpreter as `python`."""
    # Compiled modules are kept, as they are where nobody has said otherwise.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept["PATH"]])
    return {"cwd": project, "env": {**kept, "PATH": path, "PYTHONPATH": str(project / "src")}}


def _dvc(*words: str) -> list[str]:
    return [sys.executable, "-m", "dvc", *words]


if __name__ == "__main__":
    main()
