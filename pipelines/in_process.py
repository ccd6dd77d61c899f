"""All stages in this process, each in a folder of work/ that its fingerprint names, tracked as one run."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lmlab.config import validate
from lmlab.data.sources import SOURCES
from lmlab.errors import InputError
from lmlab.run import Run
from lmlab.text import canonical_json
from pipelines.settings import validate_params
from pipelines.stages import MODULES, TRAINING, load_stage, stage_paths
from pipelines.tracked import run_files, run_identity
from pipelines.workspace import (
    CHECKPOINTS,
    FILE_NAMES,
    checkpoints_folder,
    stage_fingerprints,
    stage_folder,
    work_folder,
)

log = logging.getLogger("lmlab")

DONE = "done"
"""The empty file that a stage leaves in its folder at its end."""

Watch = Callable[[Run], Run]
"""Puts something between the stages and their run, such as a search that ends hopeless trainings."""


def unwatched(run: Run) -> Run:
    """The run itself."""
    return run


def run_pipeline(
    params: Mapping[str, Any], project: Path, *, name: str, parent: str | None, watch: Watch = unwatched
) -> dict[str, Path]:
    """Run every stage that work/ does not hold yet, tracked as one run; the paths of all outputs."""
    try:
        settings = validate_params(params)
        source_digest = source_digest_of(params, project)
    except (InputError, OSError) as error:
        if parent:
            _track_refused(error, params, project, name=name, parent=parent)
        raise
    fingerprints = stage_fingerprints(project, params, source_digest)
    if not settings["runtime"].tracking:
        return run_stages(settings, work_folder(project), fingerprints, watch(Run()))
    from lmlab.tracking.fill import fill, track
    from lmlab.tracking.run import tracked_run
    from lmlab.tracking.store import sparing
    from lmlab.tracking.tracker import tracked_apart

    identity = run_identity(project, params, source_digest, name=name, parent=parent)
    if _is_done(work_folder(project), fingerprints):
        # Nothing runs, so the run is not shown as running: an interrupt would leave a finished one killed.
        paths = run_stages(settings, work_folder(project), fingerprints, Run())
        with sparing("filling in the run"):
            track(project, identity, run_files(paths))
        return paths
    if parent is None:
        with tracked_apart(project, identity) as run:
            paths = run_stages(settings, work_folder(project), fingerprints, watch(run))
            run.fill(run_files(paths))
        return paths
    # A sweep's process has MLflow for its parent run: its jobs need none of their own.
    with tracked_run(project, identity) as run:
        paths = run_stages(settings, work_folder(project), fingerprints, watch(run))
        fill(run, run_files(paths))
    return paths


@cache
def _digest_of_source(project: Path, values: str) -> str:  # noqa: ARG001
    part = SOURCES.get(json.loads(values)["name"])
    return part.build(validate(part.settings, json.loads(values), path="source")).digest()


def source_digest_of(params: Mapping[str, Any], project: Path) -> str:
    """The digest of what the source holds; read once in a process, however many jobs have that source."""
    return _digest_of_source(project, canonical_json(params["source"]))


def _track_refused(error: Exception, params: Mapping[str, Any], project: Path, *, name: str, parent: str) -> None:
    """Leave a job whose settings or source were refused as a FAILED child of its sweep."""
    from lmlab.tracking.run import tracked_run
    from pipelines.tracked import refused_identity

    with suppress(type(error)), tracked_run(project, refused_identity(params, name=name, parent=parent)):
        raise error


def stages_text(params: Mapping[str, Any], project: Path) -> str:
    """Which stages would run with these settings or go on, and which work/ holds already, a line for each."""
    validate_params(params)
    fingerprints = stage_fingerprints(project, params, source_digest_of(params, project))
    work = work_folder(project)
    lines = []
    for name in MODULES:
        folder, doing = stage_folder(work, name, fingerprints[name]), "run"
        if (folder / DONE).exists():
            doing = "skip"
        elif name == TRAINING and any(checkpoints_folder(work, fingerprints).glob("resume.*")):
            doing = "resume"
        lines.append(f"{doing:<6} {name:<9} {folder.relative_to(project)}")
    return "\n".join(lines)


def run_stages(settings: Mapping[str, Any], work: Path, fingerprints: Mapping[str, str], run: Run) -> dict[str, Path]:
    """Run the stages whose folders in work/ are not complete; the paths of all outputs by name."""
    paths = output_paths(work, fingerprints)
    for name in MODULES:
        folder = stage_folder(work, name, fingerprints[name])
        folder.mkdir(parents=True, exist_ok=True)
        with waiting_lock(folder.with_suffix(".lock"), what=f"stage {name}"):
            if is_complete(name, folder, paths):
                log.info("stage %s: already in %s", name, folder.relative_to(work.parent))
            else:
                log.info("stage %s", name)
                load_stage(name).call(settings, paths, run)
                (folder / DONE).touch()
    return paths


def _is_done(work: Path, fingerprints: Mapping[str, str]) -> bool:
    """Whether no stage is left to run."""
    paths = output_paths(work, fingerprints)
    return all(is_complete(name, stage_folder(work, name, fingerprints[name]), paths) for name in MODULES)


def output_paths(work: Path, fingerprints: Mapping[str, str]) -> dict[str, Path]:
    """Where the stages with these fingerprints write, by name."""
    paths: dict[str, Path] = {CHECKPOINTS: checkpoints_folder(work, fingerprints)}
    for name in MODULES:
        folder = stage_folder(work, name, fingerprints[name])
        paths |= {output: folder / FILE_NAMES[output] for output in _outputs(name)}
    return paths


def is_complete(name: str, folder: Path, paths: Mapping[str, Path]) -> bool:
    """Whether a stage has ended in this folder, and all that it wrote is still there."""
    return (folder / DONE).exists() and all(paths[output].exists() for output in _outputs(name))


def _outputs(stage: str) -> list[str]:
    return [path.name for path in stage_paths(stage) if path.is_written]


@contextmanager
def waiting_lock(path: Path, *, what: str) -> Iterator[None]:
    """Hold the lock, and say so once if another process holds it first."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("%s: another process works on it; waiting", what)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
