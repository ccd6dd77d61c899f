"""Fill MLflow in with the run that the project's reports tell of, where the store lacks it or a part of it.

The results must be those of params.yaml, as dvc.lock says: `dvc repro` sees to that.

Example: python -m pipelines.track
"""

import hashlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lmlab.config import read_params
from lmlab.errors import InputError
from lmlab.files import read_seal
from lmlab.tracking.fill import track
from lmlab.tracking.store import tracking_address, without_credentials
from pipelines.command import parser_of, run_command
from pipelines.settings import validate_params
from pipelines.tracked import PROJECT_FILES, run_files, run_identity, run_name
from pipelines.workspace import pipeline_file, setting_at

log = logging.getLogger("lmlab")


def main() -> int:
    """Fill in the run of params.yaml and reports/, and say what was done."""
    parser_of("track", __doc__).options()
    project = Path.cwd()
    params = read_params(project / "params.yaml")
    validate_params(params)
    check_results(project, params)
    source_digest = read_seal(project / PROJECT_FILES["tokens"])["source"]
    identity = run_identity(project, params, source_digest, name=run_name(params), parent=None)
    paths = {name: project / path for name, path in PROJECT_FILES.items()}
    # MLflow takes seconds to import.
    log.info("looking up the run in %s", without_credentials(tracking_address(project)))
    done = track(project, identity, run_files(paths))
    print(f"MLflow run {done.run_id}: {'filled in ' + ', '.join(done.logged) if done.logged else 'complete already'}")
    return 0


def check_results(project: Path, params: Mapping[str, Any]) -> None:
    """Raise InputError unless the results that lie in the project are those that DVC made with these settings."""
    lock = project / "dvc.lock"
    recorded = read_params(lock).get("stages", {}) if lock.is_file() else {}
    written: dict[str, str | None] = {}
    for name, stage in pipeline_file(project).items():
        if name not in recorded:
            raise InputError(f"dvc.lock tells of no stage {name}: run `dvc repro` first")
        settings = {path: setting_at(params, path) for path in stage.get("params", [])}
        for change in _changes(project, recorded[name], settings, written):
            raise InputError(
                f"the results are not those of params.yaml: stage {name} had {change}; run `dvc repro` first"
            )
        written |= {out["path"]: out.get("md5") for out in recorded[name].get("outs", [])}


def _changes(
    project: Path, recorded: Mapping[str, Any], settings: Mapping[str, Any], written: Mapping[str, str | None]
) -> Iterator[str]:
    """What a stage had that is another now, in words; `written` has the digests of what the stages before it wrote."""
    had = recorded.get("params", {}).get("params.yaml", {})
    yield from (f"another {path}" for path, value in settings.items() if had.get(path) != value)
    for entry in [*recorded.get("deps", []), *recorded.get("outs", [])]:
        path, digest = entry["path"], entry.get("md5")
        if {written.get(path, digest), _digest(project / path, digest)} != {digest}:
            yield f"another {path}"


def _digest(path: Path, recorded: str | None) -> str | None:
    """The digest of the file as DVC computes it; of folders, and of what is not here, that which DVC recorded."""
    if not path.is_file():
        return recorded
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()


if __name__ == "__main__":
    run_command(main)
