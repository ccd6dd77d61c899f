"""The parts of docs/adding.md work as they stand there."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.laws.imports import PROJECT
from tests.pipelines.tiny import environment

PAGE = PROJECT / "docs" / "adding.md"
NAMED_FILE = re.compile(r"`((?:src|conf)/[\w/]+\.(?:py|yaml))`(?:(?!```).)*?```\w+\n(.*?)```", flags=re.DOTALL)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project with the page's files in it."""
    for name in ("src", "conf", "pipelines"):
        shutil.copytree(PROJECT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("dvc.yaml", "constraints.txt"):
        shutil.copy(PROJECT / name, tmp_path)
    found = NAMED_FILE.findall(PAGE.read_text(encoding="utf-8"))
    assert len(found) == 7
    for path, content in found:
        assert not (tmp_path / path).exists()
        (tmp_path / path).write_text(content, encoding="utf-8")
    return tmp_path


@pytest.mark.long
def test_the_pages_command_trains_the_pages_model_on_the_pages_task(project: Path) -> None:
    (line,) = re.findall(r"^python (-m pipelines\.run .*)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    done = subprocess.run(
        [sys.executable, *shlex.split(line)],
        cwd=project,
        env=environment() | {"PYTHONPATH": str(project / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "averages seed=1 arithmetic squares" in done.stdout
    assert "exact match" in done.stdout
