"""What a run's files tell the store: each part is logged once, and again only if its files changed.

The tag lmlab.logged holds for each part the digest of the files that it was logged from, so filling in twice
changes nothing, and filling in after a failure goes on where it stopped. A run that stands alone also registers its
model under its task's name; where the store cannot do that, it costs one warning and the rest is filled in.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from lmlab.files import file_digest, path_digest, read_json
from lmlab.results import flat_numbers
from lmlab.run import Run
from lmlab.text import digest_of
from lmlab.tracking import parts
from lmlab.tracking.identity import PARENT_TAG, RunIdentity
from lmlab.tracking.model import WEIGHTS, WEIGHTS_TAG, bundle_in, link_metrics, log_model
from lmlab.tracking.registry import register
from lmlab.tracking.run import MlflowRun, begin_run, set_tags
from lmlab.tracking.store import Store, open_store, sparing

LOGGED_TAG = "lmlab.logged"
START_TAG = "lmlab.started_from_run"
"""The run whose weights this run's training began with."""


class RunFiles(NamedTuple):
    """The files of a run; none where a stage has not run. `export` holds the bundle, itself or as `bundle/`."""

    cleaning: Path | None
    encoding: Path | None
    training: Path | None
    history: Path | None
    evaluation: Path | None
    plots: Path | None
    predictions: Path | None
    export: Path | None
    export_report: Path | None
    report_html: Path | None
    records: Path | None
    tokens: Path | None


class Tracked(NamedTuple):
    """The run that `track` looked after, whether it was created, and the parts that were filled in."""

    run_id: str
    created: bool
    logged: tuple[str, ...]


class _Part(NamedTuple):
    name: str
    sources: tuple[Path, ...]
    log: Callable[[Store, str], object]
    may_fail: bool = False
    """Not every store can do it: a failure costs one warning."""


def fill(run: Run, files: RunFiles) -> tuple[str, ...]:
    """Log what is there and not yet logged; the names of the parts logged. A failing store costs one warning."""
    logged: tuple[str, ...] = ()
    if isinstance(run, MlflowRun):
        with sparing("filling in the run"):
            run.flush()
            logged = _fill(run.store, run.run_id, files)
    return logged


def track(project: Path, identity: RunIdentity, files: RunFiles) -> Tracked:
    """Fill in the identity's run, created if the store lacks it; a trained run ends up FINISHED.

    Raises: TrackingError if the store cannot be used.
    """
    store = open_store(project)
    run_id, created = begin_run(store, identity, project, live=False)
    logged = _fill(store, run_id, files)
    state = store.client.get_run(run_id).info.status
    if state != "FINISHED" and (created or files.training is not None):
        store.client.set_terminated(run_id, "FINISHED")
    return Tracked(run_id, created, logged)


def _fill(store: Store, run_id: str, files: RunFiles) -> tuple[str, ...]:
    tags = store.client.get_run(run_id).data.tags
    done: dict[str, str] = json.loads(tags.get(LOGGED_TAG, "{}"))
    logged: list[str] = []
    for part in _parts(files, stands_alone=PARENT_TAG not in tags):
        digest = _digest(part.sources)
        if done.get(part.name) == digest:
            continue
        with sparing(f"logging the {part.name}") if part.may_fail else nullcontext():
            part.log(store, run_id)
            done[part.name] = digest
            set_tags(store, run_id, {LOGGED_TAG: json.dumps(done)})
            logged.append(part.name)
    return tuple(logged)


def _digest(sources: tuple[Path, ...]) -> str:
    """Digest of files and folders; a sealed folder is told by its seal."""
    return digest_of([path_digest(path) for path in sources])[:16]


def _parts(files: RunFiles, *, stands_alone: bool) -> Iterator[_Part]:
    reports = (files.cleaning, files.encoding, files.training, files.evaluation, files.export_report)
    for path in _there(*reports, files.history, files.report_html):
        yield _Part(f"reports/{path.name}", (path,), _artifact(path, "reports"))
    for path in _there(files.predictions):
        yield _Part("predictions", (path,), _artifact(path, None))
    for path in _there(files.plots):
        yield _Part("plots", (path,), lambda store, run_id, path=path: parts.log_plots(store, run_id, path))
    if training := _report(files.training):
        yield from _training_parts(training, _there(files.training))
    for path in _there(files.history):
        yield _Part("curves", (path,), lambda store, run_id, path=path: parts.log_curves(store, run_id, path))
    for path in _there(files.records):
        yield _Part("data", (path,), lambda store, run_id, path=path: parts.log_data(store, run_id, path))
    for path in _there(files.tokens):
        tags = {"lmlab.tokens_digest": _digest((path,))}
        yield _Part("tokens", (path,), lambda store, run_id, tags=tags: set_tags(store, run_id, tags))
    if evaluation := _report(files.evaluation):
        sources = _there(files.evaluation)
        yield _Part("metrics", sources, _values(flat_numbers(evaluation), {}))
        yield _Part("samples", sources, lambda store, run_id: parts.log_samples(store, run_id, evaluation))
    for path in _there(files.export):
        yield from _model_parts(path, files, evaluation or {}, stands_alone=stands_alone)


def _training_parts(training: Mapping[str, object], sources: tuple[Path, ...]) -> Iterator[_Part]:
    yield _Part("training", sources, _values(parts.training_metrics(training), training))
    if isinstance(start := training.get("started_from"), str):
        yield _Part("start", sources, lambda store, run_id: link_start(store, run_id, start))


def link_start(store: Store, run_id: str, weights: str) -> None:
    """Tell the run which run trained the weights that it began with, if the store knows one."""
    wanted = f"tags.`{WEIGHTS_TAG}` = '{weights}'"
    for run in store.client.search_runs([store.experiment_id], wanted, max_results=1):
        set_tags(store, run_id, {START_TAG: run.info.run_id})


def _model_parts(
    export: Path, files: RunFiles, evaluation: Mapping[str, object], *, stands_alone: bool
) -> Iterator[_Part]:
    bundle = bundle_in(export)
    if bundle is None:
        return
    records = next(iter(_there(files.records)), None)
    yield _Part("model", (bundle,), lambda store, run_id: log_model(store, run_id, bundle, records=records))
    tags = {WEIGHTS_TAG: file_digest(bundle / WEIGHTS)}
    yield _Part("weights", (bundle / WEIGHTS,), lambda store, run_id: set_tags(store, run_id, tags))
    if keys := flat_numbers(evaluation).keys():
        sources = (bundle, *_there(files.evaluation, files.records))
        yield _Part("model metrics", sources, lambda store, run_id: link_metrics(store, run_id, keys))
    if stands_alone:
        yield _Part("registered model", (bundle, *_there(files.evaluation)), register, may_fail=True)


def _there(*paths: Path | None) -> tuple[Path, ...]:
    return tuple(path for path in paths if path is not None and path.exists())


def _report(path: Path | None) -> dict | None:
    return read_json(path) if path is not None and path.exists() else None


def _artifact(path: Path, folder: str | None) -> Callable[[Store, str], None]:
    return lambda store, run_id: store.client.log_artifact(run_id, str(path), folder)


def _values(metrics: Mapping[str, float], facts: Mapping[str, object]) -> Callable[[Store, str], None]:
    tags = {f"lmlab.{key}": value for key, value in facts.items() if isinstance(value, str) and key != "model"}

    def log(store: Store, run_id: str) -> None:
        parts.log_final_metrics(store, run_id, metrics)
        if tags:
            set_tags(store, run_id, tags)

    return log
