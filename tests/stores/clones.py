"""A small git repository made of the project's files, with settings so small that `dvc repro` takes seconds."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.pipelines.tiny import TINY, TRANSFORMER, environment
from tests.stores.machines import copied_project

AUTHOR = ("-c", "user.name=A Tester", "-c", "user.email=tester@example.org")
EXPERIMENT = "tiny"


def new_repository(folder: Path) -> Path:
    """The project as a git repository whose own setting is a tiny one, nothing computed yet."""
    project = copied_project(folder)
    (project / "conf" / "experiment" / f"{EXPERIMENT}.yaml").write_text(_tiny_experiment(), encoding="utf-8")
    config = project / "conf" / "config.yaml"
    text = config.read_text(encoding="utf-8")
    assert "- experiment: null" in text
    config.write_text(text.replace("- experiment: null", f"- experiment: {EXPERIMENT}"), encoding="utf-8")
    git(project, "init", "--quiet")
    commit(project, "The settings")
    return project


def _tiny_experiment() -> str:
    values: dict = {}
    overrides = [*TINY, *TRANSFORMER, "runtime.tracking=false"]
    for key, value in (one.split("=", 1) for one in overrides if one != "source=files"):
        *outer, last = key.split(".")
        inner = values
        for part in outer:
            inner = inner.setdefault(part, {})
        inner[last] = yaml.safe_load(value)
    return "# @package _global_\ndefaults:\n  - override /source: files\n" + yaml.safe_dump(values)


def git(project: Path, *arguments: str) -> str:
    """What git says, which must succeed."""
    command = ["git", *AUTHOR, "-C", str(project), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def commit(project: Path, message: str) -> None:
    """Commit all that git does not ignore."""
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", message)


def run_module(project: Path, *words: str, variables: Mapping[str, str]) -> str:
    """What `python -m` with these words says in the project, which must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=project,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def variables_of(folder: Path) -> dict[str, str]:
    """The environment of commands: stages find this Python, and DVC leaves nothing outside the folder."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return environment() | {"PATH": path, "DVC_SITE_CACHE_DIR": str(folder / "dvc")}
