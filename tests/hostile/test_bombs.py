"""A small file that would become gigabytes is refused by its size, in one line and in bounded memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile.bombs import BOMBS
from tests.laws.imports import PROJECT

MOST_MEGABYTES = {".parquet": 1200}
"""Arrow may take a gibibyte for a batch before it is stopped; everything else stays far below."""
MOST_OF_TEXT = 250
MOST_SECONDS = 30


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """What a process that read one bomb after another said and took."""
    folder = tmp_path_factory.mktemp("bombs")
    for name, (make, _) in BOMBS.items():
        make(folder / name)
    command = [sys.executable, "-m", "tests.hostile.bombs", str(folder)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return {found["bomb"]: found for found in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_one_line_and_bounded_memory(name: str, read: dict[str, dict]) -> None:
    found = read[name]
    assert BOMBS[name][1] in found["said"], found
    assert found["megabytes"] < MOST_MEGABYTES.get(Path(name).suffix, MOST_OF_TEXT)
    assert found["seconds"] < MOST_SECONDS
