"""Where stages of `pipelines.run` write: a folder for each stage's fingerprint, shared by all jobs that need it.

    work/clean-1f0c.../   records/ cleaning.json
    work/encode-77ab.../  tokenizer/ tokens/ encoding.json
    ...

A stage's fingerprint is the digest of everything that decides its outputs: its settings, its code, the pinned
libraries, the source's content, and the fingerprint of the stage before.
"""

from collections.abc import Mapping
from functools import cache, reduce
from pathlib import Path
from typing import Any

import yaml

from lmlab.errors import InputError
from lmlab.files import file_digest, path_digest
from lmlab.text import digest_of

FILE_NAMES = {
    "records": "records",
    "cleaning": "cleaning.json",
    "tokenizer": "tokenizer",
    "tokens": "tokens",
    "encoding": "encoding.json",
    "bundle": "bundle",
    "history": "history.csv",
    "training": "training.json",
    "evaluation": "evaluation.json",
    "predictions": "predictions.parquet",
    "plots": "plots",
    "export": "export",
    "export_report": "export.json",
    "html": "report.html",
    "markdown": "report.md",
}
"""What each path of a stage is called on disk."""

CHECKPOINTS = "checkpoints"
SHORT = 16
LAST = "export"
"""The last stage that decides a number of a run."""


@cache
def pipeline_file(project: Path) -> dict[str, Any]:
    """The stages of dvc.yaml.

    Raises: InputError if the file is not YAML.
    """
    # Read by every command, in a tenth of the time by libyaml; it holds no numbers, which PyYAML reads its own way.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.load((project / "dvc.yaml").read_text(encoding="utf-8"), loader)["stages"]
    except yaml.YAMLError as error:
        raise InputError(f"{project / 'dvc.yaml'} is not valid YAML: {error}") from None


def stage_fingerprints(project: Path, params: Mapping[str, Any], source_digest: str) -> dict[str, str]:
    """The fingerprint of each stage in order, from the composed settings and the source's content."""
    fingerprints: dict[str, str] = {}
    before = source_digest
    for name, stage in pipeline_file(project).items():
        settings = {path: setting_at(params, path) for path in stage.get("params", [])}
        before = digest_of([name, settings, _code_digest(project, name), _given(stage, params), before])
        fingerprints[name] = before
    return fingerprints


def setting_at(params: Mapping[str, Any], path: str) -> Any:
    """The setting of that dotted path, or the whole section."""
    return reduce(lambda section, name: section[name], path.split("."), params)


def _given(stage: Mapping[str, Any], params: Mapping[str, Any]) -> list[object]:
    """What the stage reads from outside the project's code, but for the source, which has a digest of its own."""
    watching = ("tokenizer", "model", "training")
    watched = [params[section].get("depends_on") for section in watching if section in stage.get("params", [])]
    if "training" in stage.get("params", []):
        watched.append(params["training"]["start_from"])
    return [path_digest(Path(path)) for path in watched if path and Path(path).exists()]


@cache
def _code_digest(project: Path, stage: str) -> str:
    """The digest of the code and pins that dvc.yaml names as the stage's dependencies."""
    paths = [project / dep for dep in pipeline_file(project)[stage]["deps"] if _is_code(dep)]
    files = [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    kept = [file for file in files if file.is_file() and "__pycache__" not in file.parts]
    return digest_of({file.relative_to(project).as_posix(): file_digest(file) for file in kept})


def _is_code(dependency: str) -> bool:
    return dependency == "constraints.txt" or dependency.startswith("src/")


def run_fingerprint(fingerprints: Mapping[str, str]) -> str:
    """The fingerprint of the experiment: that of its last stage that decides a number."""
    return fingerprints[LAST]


def code_digest(project: Path) -> str:
    """The digest of the code and pins of all stages that decide a number."""
    stages = list(pipeline_file(project))
    return digest_of([_code_digest(project, name) for name in stages[: stages.index(LAST) + 1]])


def work_folder(project: Path) -> Path:
    """Where the stages of `pipelines.run` write, and all keep what is not for keeping."""
    return project / "work"


def stage_folder(work: Path, name: str, fingerprint: str) -> Path:
    """Where the stage with this fingerprint writes."""
    return work / f"{name}-{fingerprint[:SHORT]}"


def checkpoints_folder(work: Path, fingerprints: Mapping[str, str]) -> Path:
    """Where a training keeps its resume checkpoints: outside DVC's outputs, which DVC deletes before a stage."""
    return work / f"{CHECKPOINTS}-{fingerprints['train'][:SHORT]}"
