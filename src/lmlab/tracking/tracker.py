"""A run that a process of its own tells MLflow of: neither MLflow's import, which takes seconds, nor its calls are
time of the stage's.

    the stage's process                      the tracker
    at the start --- project, identity --->  imports MLflow, opens the store, finds or creates the run
    log_metrics ---- points ------------->  gathers them and sends them every few seconds
    fill ----------- names of files ----->  logs them, while the stage waits
    at the end ----- state, traceback --->  sends what is left, while the stage waits

Messages are pickled, on the tracker's standard input. Where that ends before a word of the run's end, the stage's
process died, and the run is left KILLED.
"""

import gc
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import BinaryIO

from lmlab.run import Run
from lmlab.tracking.curves import points_of
from lmlab.tracking.fill import RunFiles, fill
from lmlab.tracking.identity import RunIdentity
from lmlab.tracking.run import Ending, ended_truly, open_run
from lmlab.tracking.store import TrackingError, sparing

_PROGRAM = "from lmlab.tracking.tracker import main; main()"
_DIED = Ending("KILLED", None, None)


class TrackedApart(Run):
    """A live run of which a tracker tells MLflow; a tracker that dies costs one warning."""

    def __init__(self, project: Path, identity: RunIdentity) -> None:
        # A session of its own: Ctrl-C on the terminal is for the stage, which then says how the run ended.
        self._tracker = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self._is_lost = False
        self._tell((project, identity), doing="opening the run")

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Add a point to each metric's curve at this optimizer step; costs microseconds."""
        self._tell(points_of(metrics, step=step), doing="taking points")

    def fill(self, files: RunFiles) -> tuple[str, ...]:
        """Log what is there and not yet logged; the names of the parts logged."""
        self._tell(files, doing="filling in the run")
        with sparing("filling in the run"):
            if not self._is_lost:
                return pickle.load(_pipe(self._tracker.stdout))
        return ()

    def end(self, ending: Ending) -> None:
        """Leave the run in its true state, and wait until MLflow knows all of it."""
        self._tell(ending, doing="ending the run")
        # What a lost tracker did not take was told of already.
        with suppress(BrokenPipeError):
            _pipe(self._tracker.stdin).close()
        self._tracker.wait()
        _pipe(self._tracker.stdout).close()

    def _tell(self, message: object, *, doing: str) -> None:
        if self._is_lost:
            return
        try:
            _send(message, _pipe(self._tracker.stdin))
        except OSError as error:
            self._is_lost = True
            with sparing(doing):
                raise TrackingError("the process that tracks died") from error


@contextmanager
def tracked_apart(project: Path, identity: RunIdentity) -> Iterator[TrackedApart]:
    """The run to log to while the block works: as `tracked_run`, by a process of its own."""
    run = TrackedApart(project, identity)
    with ended_truly(run):
        yield run


def main() -> None:
    """Be the tracker of the process that writes to standard input."""
    # Whoever stops the stage stops this process by the end of standard input, which may have points before it.
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    warnings.simplefilter("ignore")
    # What libraries print must not come among the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    messages: SimpleQueue[object] = SimpleQueue()
    # A full pipe would hold up the training: it is emptied while MLflow is being imported, too.
    threading.Thread(target=_read, args=(sys.stdin.buffer, messages.put), daemon=True).start()
    _follow(messages.get, answers)
    gc.freeze()  # ends sooner, while the stage waits


def _read(stream: BinaryIO, put: Callable[[object], None]) -> None:
    while True:
        try:
            message = pickle.load(stream)
        except Exception:  # EOFError; others where the stage's process died in the middle of a message
            put(_DIED)
            return
        put(message)


def _follow(get: Callable[[], object], answers: BinaryIO) -> None:
    project, identity = get()  # type: ignore[misc]
    run = open_run(project, identity)
    while True:
        match get():
            case RunFiles() as files:
                _send(() if run is None else fill(run, files), answers)
            case Ending() as ending:
                if run is not None:
                    run.end(ending)
                return
            case list() as points if run is not None:
                run.add(points)


def _send(message: object, stream: BinaryIO) -> None:
    stream.write(pickle.dumps(message))
    stream.flush()


def _pipe(stream: object) -> BinaryIO:
    assert stream is not None
    return stream  # type: ignore[return-value]
