"""A command imports what it needs: nothing heavy before a stage's own work, and by no stage what only another needs."""

import json
import subprocess
import sys

import pytest

from pipelines.stages import MODULES
from tests.laws.imports import PROJECT

HEAVY = ("torch", "mlflow", "transformers", "datasets", "pytorch_lightning", "scipy", "sklearn", "pandas", "matplotlib")
MAY_START_WITH = {
    "train": {"torch", "pytorch_lightning"},
    "evaluate": {"torch"},
}
"""Stages whose own work is all done by heavy libraries; the others import them where their work needs them."""

START = """

import pipelines.stages as stages
import pipelines.tracked
from pipelines.compose import compose
from pipelines.settings import validate_params
stages.stage_paths({name!r})
validate_params(compose([]))
stages.load_stage({name!r})
"""
HELP = """
import contextlib, io
from pipelines.stages import stage_command
sys.argv = [{name!r}, "--help"]
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    stage_command({name!r})
"""
IMPORT = "import importlib\nimportlib.import_module({name!r})\n"


def _imported(program: str, **values: str) -> set[str]:
    """The heavy libraries that the program imports."""
    code = f"import json, sys\n{program.format(**values)}\nprint(json.dumps(sorted(set({HEAVY}) & set(sys.modules))))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("name", MODULES)
def test_a_stage_starts_with_nothing_heavy_that_its_work_can_do_without(name: str) -> None:
    assert _imported(START, name=name) <= MAY_START_WITH.get(name, set())


@pytest.mark.parametrize("name", MODULES)
def test_a_stages_help_imports_nothing_heavy(name: str) -> None:
    assert not _imported(HELP, name=name)


@pytest.mark.parametrize("name", ["apply", "compare", "compose", "promote", "run", "summary", "track", "verify"])
def test_a_command_is_there_before_anything_heavy_is(name: str) -> None:
    assert not _imported(IMPORT, name=f"pipelines.{name}")


def test_lightning_brings_no_library_that_only_its_unused_metrics_need() -> None:
    assert _imported(IMPORT, name="lmlab.training.lightning") == {"torch", "pytorch_lightning"}


def test_what_was_hidden_from_lightnings_metrics_is_there_afterwards() -> None:
    program = IMPORT + "import importlib.metadata\nimport scipy\nassert importlib.metadata.version('matplotlib')\n"
    assert "scipy" in _imported(program, name="lmlab.training.lightning")
