"""A run that MLflow shows while it works: found by its fingerprint or created, and left in its true state."""

import math
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from filelock import FileLock

from lmlab.run import PrunedError, Run
from lmlab.tracking.curves import CurveWriter, Point, points_of
from lmlab.tracking.identity import (
    FINGERPRINT_TAG,
    MAX_NAME_LENGTH,
    PARENT_TAG,
    RunIdentity,
    flat_params,
    identity_tags,
    machine_tags,
    settings_yaml,
)
from lmlab.tracking.store import Store, TrackingError, open_store, sparing, told

if TYPE_CHECKING:
    from mlflow.entities import Run as StoredRun
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

PARAMS_PER_CALL = 100  # MLflow takes no more at once
# Tableau's ten, told apart by most eyes.
COLORS = (
    *("#4e79a7", "#f28e2b", "#e15759", "#76b7b2", "#59a14f"),
    *("#edc948", "#b07aa1", "#ff9da7", "#9c755f", "#bab0ac"),
)


class MlflowRun(Run):
    """A live run: its curves are sent in the background, its machine is watched when it runs long."""

    def __init__(self, store: Store, run_id: str) -> None:
        self.store = store
        self.run_id = run_id
        self._writer = CurveWriter(self._send, last_steps=self._last_steps())
        self._monitor = _watch_machine(store, run_id)

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Add a point to each metric's curve at this optimizer step; costs microseconds."""
        self.add(points_of(metrics, step=step))

    def add(self, points: Iterable[Point]) -> None:
        """Add these points to their curves."""
        self._writer.add(points)

    def flush(self) -> bool:
        """Send the waiting points now; false if the store did not take them."""
        return self._writer.flush()

    def end(self, ending: "Ending") -> None:
        """Leave the run in its true state, a failed one with the traceback as an artifact."""
        with sparing("ending the run"):
            delivered = self._writer.close()
            self._monitor.finish()
            if not delivered:
                raise TrackingError("its last points were not taken")
            if ending.traceback is not None:
                self.store.client.log_text(self.run_id, ending.traceback, "traceback.txt")
            if ending.pruned is not None:
                set_tags(self.store, self.run_id, {"lmlab.pruned": ending.pruned})
            self.store.client.set_terminated(self.run_id, ending.state)

    def _send(self, points: Sequence[Point]) -> None:
        # Another machine that runs the same experiment may have told them meanwhile.
        told = self._last_steps()
        send_points(self.store, self.run_id, [one for one in points if one.step > told.get(one.key, -math.inf)])

    def _last_steps(self) -> dict[str, int]:
        stored = self.store.client.get_run(self.run_id)
        return {metric.key: metric.step for metric in stored.data._metric_objs}


class Ending(NamedTuple):
    """How a run ended."""

    state: str
    """FINISHED, FAILED or KILLED."""
    traceback: str | None
    """Of the error, if it failed."""
    pruned: str | None
    """Why a search ended it, if one did."""


FINISHED = Ending("FINISHED", None, None)


class EndingRun(Protocol):
    """A run that can be told how it ended."""

    def end(self, ending: Ending) -> None:
        """Leave the run in its true state."""
        ...


def ending_after(error: BaseException) -> Ending:
    """How an error ends a run: KILLED by an interrupt, a signal or a search, else FAILED."""
    state = state_after(error)
    text = "".join(traceback.format_exception(error)) if state == "FAILED" else None
    return Ending(state, text, str(error) if isinstance(error, PrunedError) else None)


def open_run(project: Path, identity: RunIdentity) -> MlflowRun | None:
    """The identity's run, found or created, now RUNNING; none, after one warning, if the store cannot be used."""
    with sparing("opening the run"):
        store = open_store(project)
        return MlflowRun(store, begin_run(store, identity, project, live=True)[0])
    return None


@contextmanager
def tracked_run(project: Path, identity: RunIdentity) -> Iterator[Run]:
    """The run to log to while the block works; one that forgets if the store cannot be used.

    RUNNING inside the block. After it FINISHED, KILLED (KeyboardInterrupt, SystemExit with 128 plus a signal's
    number, or a search that ended it) or FAILED (any other error).
    """
    run = open_run(project, identity)
    if run is None:
        yield Run()
        return
    with ended_truly(run):
        yield run


@contextmanager
def ended_truly(run: EndingRun) -> Iterator[None]:
    """End the run with the block, as the block ends."""
    try:
        yield
    except BaseException as error:
        run.end(ending_after(error))
        raise
    run.end(FINISHED)


def state_after(error: BaseException) -> str:
    """The state in which an error leaves a run."""
    if isinstance(error, SystemExit):
        # Lightning turns Ctrl-C into an exit with status 1.
        interrupted = isinstance(error.__context__, KeyboardInterrupt)
        code = error.code if isinstance(error.code, int) else 1 if error.code else 0
        return "KILLED" if interrupted or code >= 128 else "FAILED" if code else "FINISHED"
    return "KILLED" if isinstance(error, KeyboardInterrupt | GeneratorExit | PrunedError) else "FAILED"


def begin_run(store: Store, identity: RunIdentity, project: Path, *, live: bool) -> tuple[str, bool]:
    """The id of the identity's run, which is now RUNNING if live, and whether it was created for this.

    Parameters and tags are logged when it is created; the machine and libraries only when the run is live,
    because a run that is filled in afterwards may have been computed elsewhere.
    """
    with FileLock(store.lock):
        found = find_run(store, identity)
        if found is None:
            tags = {
                **identity_tags(identity, project),
                "lmlab.recorded": "live" if live else "afterwards",
                "mlflow.runColor": _next_color(store),
            }
            name = identity.name[:MAX_NAME_LENGTH]
            created = store.client.create_run(store.experiment_id, tags=tags, run_name=name)
            run_id = _first_run(store, identity, created.info.run_id)
        else:
            run_id = found.info.run_id
    if live:
        store.client.update_run(run_id, status="RUNNING")
        set_tags(store, run_id, machine_tags())
    if found is None or "lmlab.settings_logged" not in found.data.tags:
        _log_settings(store, run_id, identity)
    return run_id, found is None


def _next_color(store: Store) -> str:
    # MLflow's own colors come from a hash of the run's id, and neighbours often look alike.
    newest = store.client.search_runs([store.experiment_id], order_by=["attributes.start_time DESC"], max_results=1)
    color = newest[0].data.tags.get("mlflow.runColor") if newest else None
    return COLORS[(COLORS.index(color) + 1) % len(COLORS)] if color in COLORS else COLORS[0]


def find_run(store: Store, identity: RunIdentity) -> "StoredRun | None":
    """The newest run with the identity's fingerprint and parent, if there is one."""
    return next(iter(_runs_of(store, identity)), None)


def _first_run(store: Store, identity: RunIdentity, created: str) -> str:
    """The run that stays of those that several machines, which see no common lock, created at the same moment."""
    first = min(_runs_of(store, identity), key=lambda run: (run.info.start_time, run.info.run_id)).info.run_id
    if first != created:
        store.client.delete_run(created)
    return first


def _runs_of(store: Store, identity: RunIdentity) -> "list[StoredRun]":
    """The runs with the identity's fingerprint and parent, the newest first."""
    where = f"tags.`{FINGERPRINT_TAG}` = '{identity.fingerprint}'"
    if identity.parent:
        where += f" and tags.`{PARENT_TAG}` = '{identity.parent}'"
    found = store.client.search_runs([store.experiment_id], where, order_by=["attributes.start_time DESC"])
    return [run for run in found if run.data.tags.get(PARENT_TAG) == identity.parent]


def stored_metrics(project: Path, identity: RunIdentity) -> dict[str, float]:
    """The last values of the metrics of the identity's run; none if the store lacks it or cannot be used."""
    with sparing("looking up a run"):
        found = find_run(open_store(project), identity)
        return dict(found.data.metrics) if found else {}
    return {}


def send_points(store: Store, run_id: str, points: Sequence[Point]) -> None:
    """Log points (at most 1000) in one call."""
    from mlflow.entities import Metric

    store.client.log_batch(run_id, metrics=[Metric(*point[:2], point.time, point.step) for point in points])


def set_tags(store: Store, run_id: str, tags: Mapping[str, str]) -> None:
    """Set these tags in one call."""
    from mlflow.entities import RunTag

    told(lambda: store.client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()]))


def log_params(store: Store, run_id: str, settings: Mapping[str, object]) -> None:
    """Log every setting as a parameter under its dotted key."""
    from mlflow.entities import Param

    params = [Param(key, value) for key, value in flat_params(settings).items()]
    for start in range(0, len(params), PARAMS_PER_CALL):
        told(lambda batch=params[start : start + PARAMS_PER_CALL]: store.client.log_batch(run_id, params=batch))


def _log_settings(store: Store, run_id: str, identity: RunIdentity) -> None:
    log_params(store, run_id, identity.settings)
    store.client.log_text(run_id, settings_yaml(identity.settings), "settings.yaml")
    set_tags(store, run_id, {"lmlab.settings_logged": "true"})


def _watch_machine(store: Store, run_id: str) -> "SystemMetricsMonitor":
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    # The first point comes after one interval, so a short run has none.
    monitor = SystemMetricsMonitor(run_id, sampling_interval=10, resume_logging=True, tracking_uri=store.address)
    monitor.start()
    return monitor
