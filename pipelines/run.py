"""The whole pipeline in one process, without DVC; with -m, a sweep: a parent run with a child for each job.

Examples:
  python -m pipelines.run model=lstm
  python -m pipelines.run experiment=translation_phrases
  python -m pipelines.run source=files source.path=my.txt tokenizer=characters
  python -m pipelines.run -m model=lstm,gru,transformer seed=1,2
"""

import logging
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from lmlab.data.sources import SOURCES
from lmlab.errors import InputError
from lmlab.run import Run
from pipelines.command import INPUT_ERROR_CODE, check_options, is_users, report_error, run_command
from pipelines.compose import CONF, compose_base
from pipelines.settings import validate_params
from pipelines.stages import MODULES, load_stage
from pipelines.tracked import run_files, run_identity, run_name
from pipelines.workspace import CHECKPOINTS, FILE_NAMES, checkpoints_folder, stage_fingerprints, stage_folder

log = logging.getLogger("lmlab")

SWEEP_OPTIONS = {"-m", "--multirun"}
HELP_OPTIONS = {"-h", "--help"}


def run_pipeline(params: Mapping[str, Any], project: Path, *, name: str, parent: str | None) -> dict[str, Path]:
    """Run every stage that work/ does not hold yet, tracked as one run; the paths of all outputs."""
    try:
        settings = validate_params(params)
        source_digest = SOURCES.get(params["source"]["name"]).build(settings["source"]).digest()
    except (InputError, OSError) as error:
        if parent:
            _track_refused(error, params, project, name=name, parent=parent)
        raise
    fingerprints = stage_fingerprints(project, params, source_digest)
    if not settings["runtime"].tracking:
        return run_stages(settings, project, fingerprints, Run())
    from lmlab.tracking.fill import fill
    from lmlab.tracking.run import tracked_run

    identity = run_identity(project, params, source_digest, name=name, parent=parent)
    with tracked_run(project, identity) as run:
        paths = run_stages(settings, project, fingerprints, run)
        fill(run, run_files(paths))
    return paths


def _track_refused(error: Exception, params: Mapping[str, Any], project: Path, *, name: str, parent: str) -> None:
    """Leave a job whose settings or source were refused as a FAILED child of its sweep."""
    from lmlab.tracking.run import tracked_run
    from pipelines.tracked import refused_identity

    with suppress(type(error)), tracked_run(project, refused_identity(params, name=name, parent=parent)):
        raise error


def run_stages(
    settings: Mapping[str, Any], project: Path, fingerprints: Mapping[str, str], run: Run
) -> dict[str, Path]:
    """Run the stages whose folders in work/ are not complete; the paths of all outputs by name."""
    paths: dict[str, Path] = {CHECKPOINTS: checkpoints_folder(project, fingerprints)}
    for name in MODULES:
        stage = load_stage(name)
        folder = stage_folder(project, name, fingerprints[name])
        outputs = stage.outputs._fields  # type: ignore[attr-defined]
        paths |= {output: folder / FILE_NAMES[output] for output in outputs if output not in paths}
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            done = folder / "done"
            if done.exists() and all(paths[output].exists() for output in outputs if output != CHECKPOINTS):
                log.info("stage %s: already in %s", name, folder.relative_to(project))
            else:
                stage.call(settings, paths, run)
                done.touch()
    return paths


def run_job(params: Mapping[str, Any], *, name: str, parent: str | None) -> None:
    """Run one pipeline and say where its results are."""
    from lmlab.files import read_json
    from lmlab.reporting.summary import render_summary

    paths = run_pipeline(params, Path.cwd(), name=name, parent=parent)
    print(f"\n{name}\n{render_summary(read_json(paths['evaluation']))}")
    print(f"model: {paths['export'].relative_to(Path.cwd())}\nreport: {paths['html'].relative_to(Path.cwd())}")


def main() -> int:
    """Compose, and run once or once for each job of a sweep; 2 if a run failed."""
    arguments = sys.argv[1:]
    check_options(arguments, SWEEP_OPTIONS | HELP_OPTIONS)
    if HELP_OPTIONS & set(arguments):
        print(__doc__)
        return 0
    overrides = [argument for argument in arguments if not argument.startswith("-")]
    base = compose_base(overrides)
    if SWEEP_OPTIONS & set(arguments):
        return _sweep(overrides, base)
    return INPUT_ERROR_CODE if _hydra_jobs(parent=None) else 0


def _sweep(overrides: list[str], base: Mapping[str, Any]) -> int:
    """Run every job under one parent run, which ends in its true state."""
    from pipelines.tracked import tracked_sweep

    with tracked_sweep(Path.cwd(), overrides, base) as sweep:
        sweep.failed += _hydra_jobs(parent=sweep.run_id)
    if sweep.failed:
        print(f"error: {len(sweep.failed)} of the sweep's jobs failed: {'; '.join(sweep.failed)}", file=sys.stderr)
    return INPUT_ERROR_CODE if sweep.failed else 0


def _hydra_jobs(*, parent: str | None) -> list[str]:
    """Let Hydra compose and call each job; the names of those that failed."""
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import DictConfig, OmegaConf

    failed: list[str] = []

    @hydra.main(config_path=str(CONF.resolve()), config_name="config", version_base="1.3")
    def job(config: DictConfig) -> None:
        params: Any = OmegaConf.to_container(config, resolve=True)
        is_sweep = HydraConfig.get().mode == RunMode.MULTIRUN
        # What the jobs have in common stands on the command line as it is, and tells none from another.
        own = [one for one in HydraConfig.get().overrides.task if one not in sys.argv]
        name = ",".join(own) if is_sweep and own else run_name(params)
        try:
            run_job(params, name=name, parent=parent)
        except Exception as error:
            # Hydra would end the sweep here, and print its own frames.
            failed.append(name)
            _say_failure(error)

    job()
    return failed


def _say_failure(error: Exception) -> None:
    if is_users(error):
        report_error(error)
    else:
        traceback.print_exception(error)


if __name__ == "__main__":
    run_command(main)
