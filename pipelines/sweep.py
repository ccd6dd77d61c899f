"""The jobs of a sweep: what each is, how far an earlier try came, and how one is run.

    work/sweeps/1f0c.../            the sweep's folder: the same command with the same data and code gives the same one
        jobs/77ab....json           a job's record: name, state, error, metrics

The records are what a sweep started again goes by, on whichever machine its jobs ran; MLflow shows the same as a
parent run with children.
"""

import logging
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from filelock import FileLock, Timeout

from lmlab.config import validate
from lmlab.errors import InputError
from lmlab.files import read_json, write_json
from lmlab.results import flat_numbers
from lmlab.run import Outcome, PrunedError
from lmlab.text import counted, digest_of
from lmlab.tracking.run import state_after
from lmlab.tracking.sweep import close_sweep, end_killed_jobs, open_sweep
from pipelines.command import describe, is_users, report_error, set_up
from pipelines.in_process import Watch, run_pipeline, source_digest_of, unwatched, waiting_lock
from pipelines.settings import tracked, validate_params
from pipelines.tracked import run_name
from pipelines.workspace import SHORT, run_fingerprint, stage_fingerprints, work_folder

if TYPE_CHECKING:
    from hydra.conf import HydraConf
    from omegaconf import DictConfig

log = logging.getLogger("lmlab")

UNTRACKED_OVERRIDES = (
    *("runtime.", "runtime/", "hydra.launcher", "hydra/launcher", "hydra.sweep."),
    *("hydra.sweeper.dry_run", "hydra.sweeper.retry_failed"),
)
"""Overrides that change where and when jobs run, not which jobs the sweep has."""
GROWING_OVERRIDES = ("hydra.sweeper.num_trials", "hydra.sweeper.parallel_trials")
"""A search goes on where it stopped when these change."""

State = Literal["new", "running", "interrupted", "killed", "finished", "failed", "pruned"]
ENDED: dict[State, Literal["FINISHED", "FAILED", "PRUNED"]] = {
    "finished": "FINISHED",
    "failed": "FAILED",
    "pruned": "PRUNED",
}


class Sweep(NamedTuple):
    """A sweep as its jobs see it, in whichever process they run."""

    project: Path
    folder: Path
    parent: str | None
    """The parent run in MLflow; none where no store takes it."""
    common: tuple[str, ...]
    """Overrides that all jobs share: they tell none from another."""
    retries_failed: bool


class Job(NamedTuple):
    """One job of a sweep."""

    name: str
    params: Mapping[str, Any]


class JobRecord(NamedTuple):
    """What is known of a job; `parent` is the run in MLflow that it was tracked under."""

    name: str
    state: State
    error: str | None
    metrics: Mapping[str, float]
    parent: str | None


def sweep_fingerprint(project: Path, overrides: Sequence[str], settings: Sequence[Mapping[str, Any]]) -> str:
    """What makes two commands the same sweep: the settings, data and code of its jobs, not where they run.

    `settings` are those of its jobs; of a search, those of jobs that between them have each of its choices.
    """
    own = [one for one in overrides if not one.startswith(UNTRACKED_OVERRIDES + GROWING_OVERRIDES)]
    return digest_of([sorted(own), sorted({_job_fingerprint(project, params) for params in settings})])


def sweep_folder(project: Path, fingerprint: str) -> Path:
    """Where the sweep with this fingerprint keeps the records of its jobs."""
    return work_folder(project) / "sweeps" / fingerprint[:SHORT]


def job_of(sweep: Sweep, overrides: Sequence[str], params: Mapping[str, Any]) -> Job:
    """The job that these overrides make, named by those that tell it from the sweep's others."""
    own = [one for one in overrides if one not in sweep.common and not one.startswith("hydra")]
    return Job(",".join(own) or run_name(params), params)


def job_state(sweep: Sweep, job: Job) -> JobRecord:
    """How far the job came in earlier tries of the sweep."""
    path = _record_path(sweep, job)
    record = read_record(path)
    if record is None:
        return JobRecord(job.name, "new", None, {}, None)
    if record.state == "finished":
        # Another store, or none the first time: the run is still to be filled in, which trains nothing.
        is_there = sweep.parent is None or record.parent == sweep.parent
        return record if is_there else record._replace(state="new")
    return record._replace(state="interrupted") if _is_dead(record, path) else record


def is_left_out(sweep: Sweep, record: JobRecord) -> bool:
    """Whether there is nothing to do for the job."""
    return record.state in ENDED and not (record.state == "failed" and sweep.retries_failed)


def unfinished_jobs(sweep: Sweep, jobs: Sequence[Job]) -> list[str]:
    """The names of the jobs that reached no end, or failed, each with what became of it."""
    records = [job_state(sweep, job) for job in jobs]
    return [f"{record.name} ({record.state})" for record in records if record.state not in ("finished", "pruned")]


def plan_text(sweep: Sweep, jobs: Sequence[Job]) -> str:
    """What will be run and what will not, a line for each job."""
    records = [job_state(sweep, job) for job in jobs]
    counts = Counter(_intention(sweep, record) for record in records)
    summary = ", ".join(f"{count} to {what}" for what, count in counts.items())
    lines = [f"sweep of {counted(len(jobs), 'job')} in {sweep.folder.relative_to(sweep.project)}: {summary}"]
    lines += [f"  {_intention(sweep, record):<8} {record.name}{_reason(record)}" for record in records]
    if counts["skip"] and any(record.state == "failed" for record in records) and not sweep.retries_failed:
        lines.append("failed jobs are tried again with --retry-failed")
    return "\n".join(lines)


def _intention(sweep: Sweep, record: JobRecord) -> str:
    if is_left_out(sweep, record):
        return "skip"
    return {"interrupted": "resume", "killed": "resume", "failed": "retry", "running": "wait for"}.get(
        record.state, "run"
    )


def _reason(record: JobRecord) -> str:
    if record.state == "failed":
        return f" (failed: {record.error})"
    return f" ({record.state})" if record.state != "new" else ""


def run_hydra_job(sweep: Sweep, config: "DictConfig") -> Outcome:
    """Run the job that Hydra composed; as part of a search, under the eyes of its pruner."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    params: Any = OmegaConf.to_container(config, resolve=True)
    hydra = HydraConfig.get()
    return run_sweep_job(sweep, params, hydra.overrides.task, _watch_of(hydra))


def _watch_of(hydra: "HydraConf") -> Watch:
    """What a search puts between a job and its run."""
    from omegaconf import OmegaConf

    values: Any = OmegaConf.to_container(hydra.sweeper, resolve=True)
    if values.get("trial") is None:
        return unwatched
    from lmlab.search.pruning import PruningRun
    from lmlab.search.settings import SearchSettings

    del values["_target_"]
    settings = validate(SearchSettings, values, path="hydra.sweeper")
    return lambda run: PruningRun(run, folder=Path(hydra.sweep.dir), settings=settings)


def run_sweep_job(
    sweep: Sweep, params: Mapping[str, Any], overrides: Sequence[str], watch: Watch = unwatched
) -> Outcome:
    """Run a job that has not ended yet, and leave its record in the state that it ended in.

    A job's own failure is an outcome, so that the others go on; only signals are raised.
    """
    if not logging.getLogger().handlers:
        set_up()
    job = job_of(sweep, overrides, params)
    path = _record_path(sweep, job)
    path.parent.mkdir(parents=True, exist_ok=True)
    with waiting_lock(path.with_suffix(".lock"), what=job.name):
        before = job_state(sweep, job)._replace(name=job.name)
        if is_left_out(sweep, before):
            return Outcome(ENDED[before.state], before.metrics, before.error)
        try:
            _write_record(path, JobRecord(job.name, "running", None, {}, sweep.parent))
            record = _run(sweep, job, watch)
        except BaseException:
            _write_record(path, JobRecord(job.name, "killed", None, {}, sweep.parent))
            raise
        _write_record(path, record)
        return Outcome(ENDED[record.state], record.metrics, record.error)


def _run(sweep: Sweep, job: Job, watch: Watch) -> JobRecord:
    try:
        paths = run_pipeline(job.params, sweep.project, name=job.name, parent=sweep.parent, watch=watch)
    except PrunedError as error:
        log.info("%s: %s", job.name, error)
        return JobRecord(job.name, "pruned", None, {}, sweep.parent)
    except Exception as error:
        say_failure(error)
        return JobRecord(job.name, "failed", describe(error), {}, sweep.parent)
    say_results(job.name, paths, sweep.project)
    return JobRecord(job.name, "finished", None, job_metrics(paths), sweep.parent)


def job_metrics(paths: Mapping[str, Path]) -> dict[str, float]:
    """The numbers that a job reached: those of its training and of its evaluation."""
    return {**flat_numbers(read_json(paths["training"])), **flat_numbers(read_json(paths["evaluation"]))}


def say_results(name: str, paths: Mapping[str, Path], project: Path) -> None:
    """Print what a run reached and where its results are."""
    from lmlab.reporting.summary import render_summary

    print(f"\n{name}\n{render_summary(read_json(paths['evaluation']))}")
    print(f"model: {paths['export'].relative_to(project)}\nreport: {paths['html'].relative_to(project)}", flush=True)


def say_failure(error: Exception) -> None:
    """Print what the user can mend as one line, and our own mistakes with their traceback."""
    if is_users(error):
        report_error(error)
    else:
        traceback.print_exception(error)


def _record_path(sweep: Sweep, job: Job) -> Path:
    return _jobs_folder(sweep) / f"{_job_fingerprint(sweep.project, job.params)[:SHORT]}.json"


def _jobs_folder(sweep: Sweep) -> Path:
    return sweep.folder / "jobs"


def _job_fingerprint(project: Path, params: Mapping[str, Any]) -> str:
    try:
        validate_params(params)
        source_digest = source_digest_of(params, project)
    except (InputError, OSError):
        # What is refused before it begins has no stages.
        return digest_of(["refused", repr(tracked(params))])
    return run_fingerprint(stage_fingerprints(project, params, source_digest))


def read_record(path: Path) -> JobRecord | None:
    """The record in a file, if it is there."""
    return JobRecord(**read_json(path)) if path.exists() else None


def _write_record(path: Path, record: JobRecord) -> None:
    write_json(path, record._asdict())


def _is_dead(record: JobRecord, path: Path) -> bool:
    """Whether the job's process ended and could not say so."""
    return record.state == "running" and not _is_held(path.with_suffix(".lock"))


def _is_held(path: Path) -> bool:
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


@dataclass
class TrackedSweep:
    """The sweep with its parent run, and the names of the jobs that did not finish, filled in as they are known."""

    sweep: Sweep
    unfinished: list[str] = field(default_factory=list)


@contextmanager
def tracked_sweep(
    sweep: Sweep, overrides: Sequence[str], fingerprint: str, *, is_tracked: bool
) -> Iterator[TrackedSweep]:
    """The sweep's parent run while the block works; it and the runs of its jobs have their true states after it."""
    if not is_tracked:
        yield TrackedSweep(sweep)
        return
    settings = {"overrides": " ".join(overrides)}
    parent = open_sweep(sweep.project, name="sweep " + " ".join(overrides), fingerprint=fingerprint, settings=settings)
    found = TrackedSweep(sweep._replace(parent=parent))
    try:
        yield found
    except BaseException as error:
        _close(found.sweep, state=state_after(error), summary={})
        raise
    summary = {"unfinished_jobs": len(found.unfinished), "unfinished": found.unfinished}
    _close(found.sweep, state="FAILED" if found.unfinished else "FINISHED", summary=summary)


def _close(sweep: Sweep, *, state: str, summary: Mapping[str, object]) -> None:
    paths = sorted(_jobs_folder(sweep).glob("*.json"))
    dead = [path.stem for path in paths if (record := read_record(path)) and _is_dead(record, path)]
    end_killed_jobs(sweep.project, sweep.parent, fingerprints=dead)
    close_sweep(sweep.project, sweep.parent, state=state, summary=summary, folder=sweep.folder)
