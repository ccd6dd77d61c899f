"""The commands as a user runs them, with settings so small that a whole pipeline takes seconds."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipelines.stages import stage_paths
from pipelines.workspace import pipeline_file, setting_at
from tests.corpus import texts
from tests.laws.imports import PROJECT

SOURCE = ["source=files", "source.path=my.txt", "source.documents=paragraphs"]
TINY = [
    *SOURCE,
    "tokenizer.vocabulary_size=300",
    "training.sequence_length=32",
    "training.max_steps=6",
    "training.batch_rows=2",
    "training.warmup_steps=1",
    "training.validate_every_steps=3",
    "training.validation_tokens=200",
    "task.decoding.max_new_tokens=5",
    "export.artifacts=[bundle]",
    "evaluation.samples.num_unprompted=1",
    "evaluation.samples.num_prompted=1",
    "evaluation.bootstrap.num_resamples=20",
    "evaluation.baselines.training_megabytes=1",
    "export.parity.num_prompts=2",
    "export.parity.greedy_tokens=4",
    "runtime.accelerator=cpu",
    "runtime.threads=1",
]
TRANSFORMER = [
    "model.width=32",
    "model.layers=1",
    "model.heads=2",
    "model.key_heads=1",
    "model.feed_forward_width=48",
]


def new_project(folder: Path) -> Path:
    """The folder as a clone of the project, nothing computed yet, with the user's own text."""
    folder.mkdir(parents=True)
    for name in ("conf", "src", "pipelines", "dvc.yaml", "constraints.txt", "params.yaml"):
        (folder / name).symlink_to(PROJECT / name)
    write_text(folder)
    return folder


def write_text(project: Path) -> None:
    """The user's own text: my.txt, documents parted by blank lines."""
    (project / "my.txt").write_text("\n".join(texts(200, seed=1)), encoding="utf-8")


def write_lock(project: Path, params: Mapping[str, Any], *, trained: str = "", evaluated: str = "") -> None:
    """dvc.lock as if DVC had run all stages with these settings, and recorded the files that are there.

    `trained` and `evaluated` are the digests of the bundle that was written and of the one that was read.
    """
    stages: dict[str, dict] = {}
    for name, stage in pipeline_file(PROJECT).items():
        outs = [path.path for path in stage_paths(name) if path.is_written and (project / path.path).is_file()]
        digests = {path: hashlib.md5((project / path).read_bytes()).hexdigest() for path in outs}
        stages[name] = {
            "params": {"params.yaml": {key: setting_at(params, key) for key in stage.get("params", [])}},
            "outs": [{"path": path, "md5": digest} for path, digest in digests.items()],
        }
    stages["train"]["outs"].append({"path": "models/bundle", "md5": trained})
    stages["evaluate"]["deps"] = [{"path": "models/bundle", "md5": evaluated}]
    (project / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": stages}), encoding="utf-8")


def environment() -> dict[str, str]:
    """The environment of a command: the project's own store, one thread, nothing from a hub."""
    kept = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    return {**kept, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def command_of(name: str, *arguments: str) -> list[str]:
    """The words of a command of pipelines/."""
    return [sys.executable, "-m", f"pipelines.{name}", *arguments]


def run_command(project: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of pipelines/ in the project."""
    command = command_of(name, *arguments)
    return subprocess.run(command, cwd=project, env=environment(), capture_output=True, text=True, check=False)


def start_command(project: Path, name: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a command of pipelines/ in the project, in a process group of its own that a test may kill."""
    return subprocess.Popen(
        command_of(name, *arguments),
        cwd=project,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def kill_group(process: subprocess.Popen[str]) -> None:
    """End whatever is left of a command that `start_command` started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
