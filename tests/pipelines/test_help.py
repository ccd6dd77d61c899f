"""Every command explains itself."""

import re

import pytest

from tests.laws.imports import PROJECT
from tests.pipelines.tiny import run_command, start_command

COMMANDS = [
    path.stem for path in sorted((PROJECT / "pipelines").glob("*.py")) if "__main__" in path.read_text(encoding="utf-8")
]


def test_the_commands_of_the_design_are_there() -> None:
    stages = {"clean", "encode", "train", "evaluate", "export", "report"}
    others = {"apply", "compare", "compose", "play", "promote", "record", "run", "summary", "track", "ui", "verify"}
    assert stages | others <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_well_and_shows_an_example(command: str) -> None:
    done = run_command(PROJECT, command, "--help")
    assert done.returncode == 0, done.stderr
    assert re.search(rf"(?s)Example.*python -m pipelines\.{command}\b", done.stdout)


def test_a_reader_that_stops_early_is_no_error() -> None:
    process = start_command(PROJECT, "run", "--help")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=60) == 141
