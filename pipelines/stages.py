"""The stages in order, and how one is run: settings from params.yaml, paths from the command line."""

import ast
import importlib
import logging
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from lmlab.errors import InputError
from lmlab.files import read_seal
from lmlab.run import Run
from pipelines.command import CommandParser
from pipelines.machine_faults import machine_faults_told
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

TRAINING = "train"
"""The stage that resumes from checkpoints."""

TRACKED_STAGES = ("train", "evaluate", "export")
"""Stages that belong to a run of MLflow; the others only prepare."""

WRITTEN = ("outs", "metrics", "plots")
"""The entries of dvc.yaml that name what a stage writes."""


class StagePath(NamedTuple):
    """A path that a stage reads or writes, as its command names it."""

    name: str
    path: str
    is_written: bool


def stage_paths(name: str) -> list[StagePath]:
    """The paths of a stage, which dvc.yaml names: nothing is imported for it."""
    stage = _entry(name)
    words = shlex.split(stage["cmd"])[3:]
    written = {next(iter(one)) if isinstance(one, dict) else one for kind in WRITTEN for one in stage.get(kind, [])}
    pairs = zip(words[::2], words[1::2], strict=True)
    return [StagePath(option.removeprefix("--"), path, path in written) for option, path in pairs]


def _entry(name: str) -> dict[str, Any]:
    return pipeline_file(Path(__file__).absolute().parents[1])[name]


class Stage(NamedTuple):
    """A stage's function and the names of what it reads and writes."""

    name: str
    run: Callable[..., dict]
    settings: type
    inputs: type
    outputs: type

    def call(self, settings: Mapping[str, Any], paths: Mapping[str, Path], run: Run) -> dict:
        """Run the stage with these typed sections and these paths, each by name; return its report.

        Raises: InputError for what the user or the machine did wrong.
        """
        with machine_faults_told(self.name):
            return self.run(_pick(self.settings, settings), _pick(self.inputs, paths), _pick(self.outputs, paths), run)


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
    """Run one stage as DVC does, `python -m pipelines.NAME --PATH-NAME PATH ...`; paths not given are DVC's."""
    paths = _parse_paths(name)
    with _only_one(name), machine_faults_told(name):
        _run_stage(name, paths)
    return 0


@contextmanager
def _only_one(stage: str) -> Iterator[None]:
    """Hold the project's lock of the stage.

    Raises: InputError if another process holds it: both would write the same files.
    """
    from filelock import FileLock, Timeout

    if not _is_first():
        yield
        return
    path = work_folder(Path.cwd()) / f"{stage}.lock"
    path.parent.mkdir(exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"another process runs the stage {stage} in this folder: wait for it or stop it") from None
    try:
        yield
    finally:
        lock.release()


def _run_stage(name: str, paths: dict[str, Path]) -> None:
    if "params" not in _entry(name):
        log.info("stage %s", name)
        load_stage(name).call({}, paths, Run())
        return
    from lmlab.config import read_params
    from pipelines.settings import validate_params

    params = read_params(Path("params.yaml"))
    settings = validate_params(params)
    is_first = _is_first()
    # Before the imports: those of training take seconds.
    log.log(logging.INFO if is_first else logging.DEBUG, "stage %s", name)
    if name == TRAINING:
        source_digest = read_seal(paths["tokens"])["source"]
        project = Path.cwd()
        paths[CHECKPOINTS] = checkpoints_folder(
            work_folder(project), stage_fingerprints(project, params, source_digest)
        )
    if name in TRACKED_STAGES and settings["runtime"].tracking and is_first:
        from pipelines.tracked import run_tracked_stage

        run_tracked_stage(name, params, settings, paths)
    else:
        load_stage(name).call(settings, paths, Run())


def _is_first() -> bool:
    """Whether this process tells of the run, of those that torchrun starts."""
    return os.environ.get("RANK", "0") == "0"


def _pick(names: type, values: Mapping[str, Any]) -> Any:
    return names(**{field: values[field] for field in names._fields})  # type: ignore[attr-defined]


def _parse_paths(name: str) -> dict[str, Path]:
    parser = CommandParser(
        name,
        summary=f"{_docstring(MODULES[name])}\n\nSettings come from params.yaml, paths not given from dvc.yaml.",
        example=f"Example, as `dvc repro {name}` runs it:\n  {_entry(name)['cmd']}",
    )
    for path in stage_paths(name):
        direction = "written" if path.is_written else "read"
        parser.add_argument(
            f"--{path.name}", type=Path, default=Path(path.path), metavar="PATH", help=f"{direction}; {path.path}"
        )
    return vars(parser.options())


def _docstring(module: str) -> str:
    """The docstring of a module that is not imported."""
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""
