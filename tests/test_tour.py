"""The README's ten minutes: every command of it runs, and answers in the words that stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.laws.imports import PROJECT
from tests.pipelines.tiny import environment

HEADING = "## Ten minutes with your own text"
# What differs from machine to machine, and from one Python's own text to another's.
NUMBER = re.compile(r"\b[0-9a-f]{6,}\b|\d[\d,]*(?:\.\d+)?")


class Step(NamedTuple):
    """A command of the tour and what the README says it prints."""

    command: str
    printed: list[str]


def _tour() -> list[Step]:
    section = (PROJECT / "README.md").read_text(encoding="utf-8").partition(f"{HEADING}\n")[2].partition("\n## ")[0]
    steps: list[Step] = []
    for block in re.findall(r"```console\n(.*?)```", section, flags=re.DOTALL):
        for line in block.replace("\\\n", "").splitlines():
            if line.startswith("$ "):
                steps.append(Step(line.removeprefix("$ "), []))
            elif line != "...":
                steps[-1].printed.append(line)
    return steps


def _shape(text: str) -> str:
    return " ".join(NUMBER.sub("#", text).split())


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The project's files in a repository of their own, nothing computed yet."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        source, place = PROJECT / name, tmp_path / name
        if source.is_file() and not name.startswith("tests/"):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(source.read_bytes())
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    return tmp_path


@pytest.mark.long
def test_every_command_of_the_tour_prints_what_stands_there(clone: Path) -> None:
    steps = _tour()
    assert len(steps) > 5
    measured: list[set[str]] = []
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command, printed in steps:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=clone,
            env=environment() | {"PATH": path, "PYTHONPATH": f"{clone / 'src'}"},
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"{command}\n{said}"
        lines = {_shape(line) for line in said.splitlines()}
        missing = [line for line in printed if _shape(line) not in lines]
        assert not missing, f"{command}\n{said}"
        measured.append({line for line in said.splitlines() if line.startswith("  the model ")})
    # The sweep's models, and the one that DVC made of the promoted settings.
    swept, again = filter(None, measured)
    assert len(again) == 1
    assert again < swept
