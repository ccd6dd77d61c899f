"""Stages as parts of a run in MLflow: found by its fingerprint, whichever process the stage runs in."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lmlab.files import read_seal
from lmlab.text import digest_of
from lmlab.tracking.fill import RunFiles
from lmlab.tracking.identity import RunIdentity
from lmlab.tracking.tracker import tracked_apart
from pipelines.settings import tracked
from pipelines.stages import load_stage
from pipelines.workspace import code_digest, run_fingerprint, stage_fingerprints

PROJECT_FILES = {
    "records": "data/records",
    "tokens": "data/tokens",
    "cleaning": "reports/cleaning.json",
    "encoding": "reports/encoding.json",
    "training": "reports/training.json",
    "history": "reports/history.csv",
    "evaluation": "reports/evaluation.json",
    "plots": "reports/plots",
    "predictions": "data/predictions.parquet",
    "export": "models/export",
    "export_report": "reports/export.json",
    "html": "reports/report.html",
}
"""Where dvc.yaml lets the stages write; a test compares."""


def run_identity(
    project: Path, params: Mapping[str, Any], source_digest: str, *, name: str, parent: str | None
) -> RunIdentity:
    """The run that these settings, this code and this source content make."""
    fingerprints = stage_fingerprints(project, params, source_digest)
    return RunIdentity(
        run_fingerprint(fingerprints), name, tracked(params), source_digest, code_digest(project), parent
    )


def refused_identity(params: Mapping[str, Any], *, name: str, parent: str) -> RunIdentity:
    """The run of a sweep's job that could not begin: nothing but its settings is known."""
    return RunIdentity(digest_of(["refused", repr(tracked(params))]), name, tracked(params), "", "", parent)


def run_name(params: Mapping[str, Any]) -> str:
    """What tells a run from its neighbours, the telling part first: lists cut names off."""
    return f"{params['model']['name']} seed={params['seed']} {params['task']['name']} {params['source']['name']}"


def run_files(paths: Mapping[str, Path]) -> RunFiles:
    """The files of a run by the names of stage paths; what is not there is left out."""
    present = {name: path for name, path in paths.items() if path.exists()}
    html = present.pop("html", None)
    known = {name: present.get(name) for name in RunFiles._fields}
    return RunFiles(**{**known, "report_html": html})


def run_tracked_stage(
    name: str, params: Mapping[str, Any], settings: Mapping[str, Any], paths: Mapping[str, Path]
) -> None:
    """Run a stage in the project's own folders, as a part of its run."""
    project = Path.cwd()
    source_digest = read_seal(project / PROJECT_FILES["tokens"])["source"]
    identity = run_identity(project, params, source_digest, name=run_name(params), parent=None)
    # MLflow is imported beside the stage's own imports.
    with tracked_apart(project, identity) as run:
        stage = load_stage(name)
        stage.call(settings, paths, run)
        written = {name: path for name, path in paths.items() if name in stage.outputs._fields}  # type: ignore[attr-defined]
        inputs = {name: project / PROJECT_FILES[name] for name in ("records", "tokens", "cleaning", "encoding")}
        run.fill(run_files({**inputs, **written}))
