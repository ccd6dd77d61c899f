"""Folders that stand for clones of the project on machines of their own: nothing in them is shared."""

import shutil
import subprocess
from pathlib import Path

from tests.laws.imports import PROJECT
from tests.pipelines.tiny import command_of, environment, kill_group, write_text

FOLDERS = ("conf", "src", "pipelines")
FILES = ("dvc.yaml", "constraints.txt", ".gitignore", ".dvcignore", ".dvc/config")


def copied_project(folder: Path) -> Path:
    """A copy of what git has of the project that its commands read, with the user's own text."""
    for name in FOLDERS:
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in FILES:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(PROJECT / name, folder / name)
    write_text(folder)
    return folder


def start_at(project: Path, server: str, name: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a command of pipelines/ in the project, with its runs at this server."""
    return subprocess.Popen(
        command_of(name, *arguments),
        cwd=project,
        env=environment() | {"MLFLOW_TRACKING_URI": server},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def ended_well(*processes: subprocess.Popen[str]) -> list[str]:
    """What each command said until it ended, which it must have done without an error or a warning of the tracking."""
    try:
        said = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            kill_group(process)
    for process, text in zip(processes, said, strict=True):
        assert process.returncode == 0, text
        assert "tracking failed" not in text
    return said
