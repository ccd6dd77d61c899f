"""Stages as processes of their own with a fault in them, and what is to be seen of it on disk."""

import hashlib
import json
import os
import random
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from lmlab.files import file_digest
from pipelines.stages import MODULES, stage_paths
from pipelines.workspace import pipeline_file
from tests.laws.imports import PROJECT
from tests.pipelines.tiny import TINY, TRANSFORMER, command_of, environment, new_project, run_command

STAGES = tuple(MODULES)
HOOKS = Path(__file__).parent / "hooks"
UNTRACKED = "runtime.tracking=false"
SETTINGS = [*TINY, *TRANSFORMER, UNTRACKED, "runtime.checkpoint_every_seconds=0", "training.log_every_steps=1"]

SCRATCH = Path(tempfile.gettempdir()) / f"lmlab-faults-{os.getpid()}"
"""Holds the temporary files of all disturbed commands."""
LASTING = ("torchinductor_", "pymp-")
"""Temporary files of libraries: torch's cache, and sockets of loader processes, which these remove unless killed."""

Tree = Mapping[str, tuple[str, int]]
"""Each file with its digest and size, each folder with nothing."""
Fault = Mapping[str, Mapping[str, object]]
"""Faults of hooks/sitecustomize.py with their arguments."""


class Reference(NamedTuple):
    """A project as an undisturbed run leaves it."""

    project: Path
    tree: Tree
    changes: Mapping[str, int]
    """How many changes of files each stage makes."""
    seconds: Mapping[str, float]
    """How long each stage takes."""

    def copy(self, folder: Path) -> Path:
        """A copy of the project."""
        return Path(shutil.copytree(self.project, folder / "project", symlinks=True))

    def copy_without(self, stage: str, folder: Path) -> Path:
        """A copy of the project that lacks what this stage writes."""
        project = self.copy(folder)
        for path in output_paths(project, stage):
            remove(path)
        return project


def undisturbed_project(folder: Path, *changes: str) -> Reference:
    """A tiny project whose stages all ran, with these changes to its settings."""
    project = new_project(folder / "project")
    (project / "params.yaml").unlink()
    composed = run_command(project, "compose", *SETTINGS, *changes)
    assert composed.returncode == 0, composed.stderr
    counts, seconds = {}, {}
    for stage in STAGES:
        began = time.monotonic()
        done = run_stage(project, stage, {"count_to": {"path": str(folder / "count")}})
        assert done.returncode == 0, done.stderr
        seconds[stage] = time.monotonic() - began
        counts[stage] = int((folder / "count").read_text())
    return Reference(project, tree_of(project), counts, seconds)


def stage_arguments(stage: str) -> list[str]:
    """The words after `python -m pipelines.STAGE`, as DVC gives them."""
    return shlex.split(pipeline_file(PROJECT)[stage]["cmd"])[3:]


def stage_environment(project: Path, name: str, fault: Fault | None = None) -> dict[str, str]:
    """The environment of a command with a fault in it; its temporary files lie beside the project."""
    scratch = scratch_of(project)
    scratch.mkdir(parents=True, exist_ok=True)
    variables = {**environment(), "TMPDIR": str(scratch)}
    if fault is None:
        return variables
    paths = [str(HOOKS), *filter(None, [os.environ.get("PYTHONPATH")])]
    wanted = json.dumps({"process": f"pipelines.{name}", **fault})
    return {**variables, "PYTHONPATH": os.pathsep.join(paths), "LMLAB_FAULT": wanted}


def run_stage(project: Path, stage: str, fault: Fault | None = None) -> subprocess.CompletedProcess[str]:
    """Run a stage as DVC does, with a fault in it."""
    return subprocess.run(
        command_of(stage, *stage_arguments(stage)),
        cwd=project,
        env=stage_environment(project, stage, fault),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def change_runtime(project: Path, **values: object) -> None:
    """Set these values of the section runtime in the project's params.yaml."""
    path = project / "params.yaml"
    lines = path.read_text(encoding="utf-8").splitlines()
    for name, value in values.items():
        [at] = [number for number, line in enumerate(lines) if line.strip().startswith(f"{name}: ")]
        lines[at] = f"  {name}: {value}"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def scratch_of(project: Path) -> Path:
    """Where the project's commands keep temporary files."""
    # Sockets of loader processes lie there, and a system bounds the length of their paths.
    name = hashlib.sha256(str(project.parent).encode()).hexdigest()[:12]
    return SCRATCH / name


def output_paths(project: Path, stage: str) -> list[Path]:
    """What a stage writes."""
    return [project / path.path for path in stage_paths(stage) if path.is_written]


def remove(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def tree_of(project: Path) -> Tree:
    """What the project holds beside its code, its settings and MLflow's store."""
    found = {}
    for folder, folders, names in os.walk(project):
        folders[:] = [name for name in folders if name not in ("__pycache__", "mlartifacts")]
        here = Path(folder)
        found |= {f"{(here / name).relative_to(project)}/": ("", 0) for name in folders}
        for name in names:
            path = here / name
            if not path.is_symlink() and not name.startswith(("mlflow.db", "params.yaml")):
                found[str(path.relative_to(project))] = (file_digest(path), path.stat().st_size)
    return found


def bytes_lost(expected: Tree, found: Tree) -> int:
    """Bytes of the expected files that are missing or other ones."""
    return sum(size for name, (digest, size) in expected.items() if found.get(name, ("", 0))[0] != digest)


def check_nothing_half_written(reference: Reference, project: Path, stage: str) -> None:
    """Each output of the stage is not there or as it should be, and everything else is untouched."""
    found = tree_of(project)
    outputs = [path.relative_to(project).as_posix() for path in output_paths(project, stage)]
    for name in outputs:
        if (project / name).exists():
            assert _part(found, name) == _part(reference.tree, name), name
    others = [name for name in reference.tree if not any(_is_below(name, output) for output in outputs)]
    assert {name: found.get(name) for name in others} == {name: reference.tree[name] for name in others}


def _part(tree: Tree, name: str) -> Tree:
    return {inner: facts for inner, facts in tree.items() if _is_below(inner, name)}


def _is_below(name: str, top: str) -> bool:
    return name == top or name.startswith(f"{top}/")


def check_nothing_left_behind(project: Path) -> None:
    """No file of an interrupted write, and no temporary file but those of LASTING."""
    assert [name for name in tree_of(project) if ".partial" in name or ".old" in name] == []
    names = [path.name for path in scratch_of(project).iterdir()]
    assert [name for name in names if not name.startswith(LASTING)] == []


def draw(*seed: object) -> random.Random:
    """Random numbers that hang on these values alone."""
    return random.Random(repr(seed))
