"""The whole pipeline in one process, without DVC; with -m, a sweep: a parent run with a child for each job.

Examples:
  python -m pipelines.run model=lstm
  python -m pipelines.run experiment=translation_phrases
  python -m pipelines.run source=files source.path=my.txt tokenizer=characters
  python -m pipelines.run -m model=lstm,gru,transformer seed=1,2
  python -m pipelines.run -m model=lstm,gru hydra/launcher=joblib
  python -m pipelines.run -m hydra/sweeper=optuna 'training.learning_rate=tag(log, interval(1e-3, 1e-1))'

A sweep started again leaves out what has finished and goes on with what was interrupted.
  --dry-run       only say what would be run and what would be left out
  --retry-failed  run the jobs again that failed in an earlier try
"""

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lmlab.errors import InputError
from lmlab.run import Outcome
from pipelines.command import INPUT_ERROR_CODE, check_options, run_command
from pipelines.compose import CONF, common_overrides, compose, compose_choices, compose_jobs
from pipelines.in_process import run_pipeline, stages_text
from pipelines.sweep import (
    Sweep,
    job_of,
    plan_text,
    say_failure,
    say_results,
    sweep_fingerprint,
    sweep_folder,
    tracked_sweep,
    unfinished_jobs,
)
from pipelines.tracked import run_name

log = logging.getLogger("lmlab")

SWEEP_OPTIONS = {"-m", "--multirun"}
HELP_OPTIONS = {"-h", "--help"}
DRY_RUN, RETRY_FAILED = "--dry-run", "--retry-failed"
OPTIONS = SWEEP_OPTIONS | HELP_OPTIONS | {DRY_RUN, RETRY_FAILED}


def main() -> int:
    """Compose, and run once or once for each job of a sweep; 2 if a run failed."""
    arguments = sys.argv[1:]
    check_options(arguments, OPTIONS)
    if HELP_OPTIONS & set(arguments):
        print(__doc__)
        return 0
    overrides = [argument for argument in arguments if argument not in OPTIONS]
    if SWEEP_OPTIONS & set(arguments):
        return _run_sweep(overrides, dry_run=DRY_RUN in arguments, retries_failed=RETRY_FAILED in arguments)
    params = compose(overrides)
    if DRY_RUN in arguments:
        print(stages_text(params, Path.cwd()))
        return 0
    return _run_once(params)


def _run_once(params: Mapping[str, Any]) -> int:
    name, project = run_name(params), Path.cwd()
    log.info("run %s", name)
    try:
        say_results(name, run_pipeline(params, project, name=name, parent=None), project)
    except Exception as error:
        say_failure(error)
        return INPUT_ERROR_CODE
    return 0


def _run_sweep(overrides: list[str], *, dry_run: bool, retries_failed: bool) -> int:
    """Say what there is to do, and do it under one parent run, which ends in its true state."""
    project = Path.cwd()
    # What a search will ask is not known before; its sweeper says how far it is.
    is_search = any(one.startswith("hydra/sweeper=") for one in overrides)
    composed = [] if is_search else compose_jobs(overrides)
    settings = compose_choices(overrides) if is_search else [params for _, params in composed]
    fingerprint = sweep_fingerprint(project, overrides, settings)
    sweep = Sweep(project, sweep_folder(project, fingerprint), None, common_overrides(overrides), retries_failed)
    jobs = [job_of(sweep, own, params) for own, params in composed]
    asked = {"dry_run": dry_run, "retry_failed": retries_failed} if is_search else {}
    words = [*overrides, *(f"hydra.sweeper.{name}=true" for name, is_asked in asked.items() if is_asked)]
    if dry_run:
        if is_search:
            _hydra_sweep(sweep, words)
        else:
            print(plan_text(sweep, jobs))
        return 0
    with tracked_sweep(sweep, overrides, fingerprint, is_tracked=settings[0]["runtime"]["tracking"]) as tracked:
        if jobs:
            print(plan_text(tracked.sweep, jobs), flush=True)
        _hydra_sweep(tracked.sweep, words)
        tracked.unfinished = unfinished_jobs(tracked.sweep, jobs)
    if tracked.unfinished:
        print(
            f"error: {len(tracked.unfinished)} of the sweep's jobs did not finish: {'; '.join(tracked.unfinished)}",
            file=sys.stderr,
        )
    return INPUT_ERROR_CODE if tracked.unfinished else 0


def _hydra_sweep(sweep: Sweep, overrides: Sequence[str]) -> None:
    """Let Hydra's sweeper and launcher run the jobs."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf import DictConfig

    @hydra.main(config_path=str(CONF.resolve()), config_name="config", version_base="1.3")
    def job(config: DictConfig) -> Outcome:
        # Launchers send this function to other processes: it holds nothing but the sweep.
        from pipelines.sweep import run_hydra_job

        return run_hydra_job(sweep, config)

    folder = sweep.folder.relative_to(sweep.project).as_posix()
    sys.argv = [sys.argv[0], "--multirun", *overrides, f"hydra.sweep.dir={folder}"]
    # Else Hydra would print errors of sweepers and launchers its own way, and exit.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    try:
        job()
    except HydraException as error:
        # A plugin's own refusal comes wrapped.
        raise error.__cause__ if isinstance(error.__cause__, InputError) else InputError(str(error)) from None


if __name__ == "__main__":
    run_command(main)
