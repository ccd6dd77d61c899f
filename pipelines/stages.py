"""The stages in order, and how one is run: settings from params.yaml, paths from the command line."""

import importlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lmlab.config import read_params
from lmlab.files import SEAL_NAME, read_json
from lmlab.run import Run
from pipelines.command import CommandParser
from pipelines.settings import validate_params
from pipelines.workspace import CHECKPOINTS, checkpoints_folder, pipeline_file, stage_fingerprints, work_folder

log = logging.getLogger("lmlab")

MODULES = {
    "clean": "lmlab.data.clean",
    "encode": "lmlab.data.encode",
    "train": "lmlab.training.train",
    "evaluate": "lmlab.evaluation.evaluate",
    "export": "lmlab.export.export",
    "report": "lmlab.reporting.report",
}
"""Each stage with its module, which is imported only when the stage runs."""

TRACKED_STAGES = ("train", "evaluate", "export")
"""Stages that belong to a run of MLflow; the others only prepare."""


class Stage(NamedTuple):
    """A stage's function and the names of what it reads and writes."""

    name: str
    run: Callable[..., dict]
    settings: type
    inputs: type
    outputs: type

    def call(self, settings: Mapping[str, Any], paths: Mapping[str, Path], run: Run) -> dict:
        """Run the stage with these typed sections and these paths, each by name; return its report."""
        log.info("stage %s", self.name)
        return self.run(_pick(self.settings, settings), _pick(self.inputs, paths), _pick(self.outputs, paths), run)

    def path_names(self) -> list[str]:
        """The names of all paths that the stage reads or writes."""
        return [*self.inputs._fields, *self.outputs._fields]


def load_stage(name: str) -> Stage:
    """The stage of that name; imports its module."""
    module = importlib.import_module(MODULES[name])
    title = name.capitalize()
    return Stage(
        name,
        getattr(module, name),
        getattr(module, f"{title}Settings"),
        getattr(module, f"{title}Inputs"),
        getattr(module, f"{title}Outputs"),
    )


def stage_command(name: str) -> int:
    """Run one stage as DVC does: `python -m pipelines.NAME --PATH-NAME PATH ...`."""
    from pipelines.tracked import run_tracked_stage

    stage = load_stage(name)
    paths = _parse_paths(stage)
    params = read_params(Path("params.yaml"))
    settings = validate_params(params)
    if CHECKPOINTS in stage.path_names():
        source_digest = read_json(paths["tokens"] / SEAL_NAME)["source"]
        project = Path.cwd()
        paths[CHECKPOINTS] = checkpoints_folder(
            work_folder(project), stage_fingerprints(project, params, source_digest)
        )
    if name in TRACKED_STAGES and settings["runtime"].tracking:
        run_tracked_stage(stage, params, settings, paths)
    else:
        stage.call(settings, paths, Run())
    return 0


def _pick(names: type, values: Mapping[str, Any]) -> Any:
    return names(**{field: values[field] for field in names._fields})  # type: ignore[attr-defined]


def _parse_paths(stage: Stage) -> dict[str, Path]:
    command = pipeline_file(Path(__file__).absolute().parents[1])[stage.name]["cmd"]
    parser = CommandParser(
        stage.name,
        summary=f"{importlib.import_module(MODULES[stage.name]).__doc__}\n\nSettings come from params.yaml.",
        example=f"Example, as `dvc repro {stage.name}` runs it:\n  {command}",
    )
    for name in stage.path_names():
        if name == CHECKPOINTS:
            continue
        direction = "read" if name in stage.inputs._fields else "written"  # type: ignore[attr-defined]
        parser.add_argument(f"--{name}", type=Path, required=True, metavar="PATH", help=direction)
    return vars(parser.options())
