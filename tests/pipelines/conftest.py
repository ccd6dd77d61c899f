"""Commands that must fail, called in this process."""

import importlib
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.command import run_command
from pipelines.stages import MODULES, stage_command

Fails = Callable[..., str]


@pytest.fixture
def fails(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Fails]:
    """Run a command that must fail; the one line that it says."""

    def run(name: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [f"pipelines.{name}", *arguments])
        with pytest.raises(SystemExit) as ended:
            run_command(main_of(name))
        assert ended.value.code == 2
        return one_error(capsys.readouterr().err)

    before = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, before)


def main_of(name: str) -> Callable[[], int]:
    """The function behind a command of pipelines/."""
    return (lambda: stage_command(name)) if name in MODULES else importlib.import_module(f"pipelines.{name}").main


def one_error(said: str) -> str:
    """The one error in what a command said, which must stand in the last line."""
    lines = [line for line in said.splitlines() if line.strip()]
    assert "Traceback" not in said
    assert [line.startswith("error: ") for line in lines] == [False] * (len(lines) - 1) + [True], said
    return lines[-1].removeprefix("error: ")
