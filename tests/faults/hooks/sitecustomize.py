"""Faults from within a command: Python imports a module of this name by itself, before anything else.

LMLAB_FAULT is a JSON object. `process` is a part of the command line of the process that is meant; each other key is
one of the faults at the end of this file, with its arguments.
"""

import atexit
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

CHANGES = frozenset({"os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.truncate", "os.link", "os.symlink"})
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class FileChanges:
    """Counts what this process changes below its working directory, and acts just before the change of a number."""

    def __init__(self) -> None:
        self.count = 0
        self._folder = os.getcwd()
        self._actions: dict[int | str, Callable[[], None]] = {}
        sys.addaudithook(self._see)

    def before(self, change: int | str, act: Callable[[], None]) -> None:
        """Act just before the change of this number, counted from 1, or the first of a path that has this part."""
        self._actions[change] = act

    def _see(self, event: str, arguments: tuple) -> None:
        path = self._changed(event, arguments)
        if path is None:
            return
        self.count += 1
        for change in list(self._actions):
            if change == self.count or (isinstance(change, str) and change in path):
                self._actions.pop(change)()

    def _changed(self, event: str, arguments: tuple) -> str | None:
        """The path that the event changes; none if it changes nothing here."""
        is_writing = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING
        if not (is_writing or event in CHANGES) or not isinstance(arguments[0], str | bytes):
            return None
        path = os.path.join(self._folder, os.fsdecode(arguments[0]))
        return path if path.startswith(self._folder) and "__pycache__" not in path else None


def count_to(path: str) -> None:
    """At the end, write how many changes there were."""
    changes = FileChanges()
    atexit.register(lambda: Path(path).write_text(str(changes.count)))


def signal_at(change: int | str, sent: int) -> None:
    """Send this process the signal."""
    FileChanges().before(change, lambda: os.kill(os.getpid(), sent))


def kill_child_at(change: int | str) -> None:
    """Kill the newest process that this one started."""

    def kill() -> None:
        tasks = Path("/proc/self/task").iterdir()
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
        os.kill(max(children), signal.SIGKILL)

    FileChanges().before(change, kill)


def limit_memory_at(change: int | str, megabytes: int, kind: str) -> None:
    """From this change on, let the process take no more than so many megabytes beyond what it has."""

    def limit() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[{"AS": 0, "DATA": 5}[kind]])
        most = pages * resource.getpagesize() + megabytes * 1_000_000
        resource.setrlimit(getattr(resource, f"RLIMIT_{kind}"), (most, resource.RLIM_INFINITY))

    FileChanges().before(change, limit)


def set_clock_back(seconds: int, after_calls: int, told_in: str) -> None:
    """Set the clock back once it has been asked so often; a file of the process's number in a folder tells of it."""
    asked = 0
    true_time, true_time_ns = time.time, time.time_ns

    def late() -> int:
        nonlocal asked
        asked += 1
        if asked == after_calls:
            Path(told_in, str(os.getpid())).touch()
        return seconds if asked >= after_calls else 0

    time.time = lambda: true_time() - late()
    time.time_ns = lambda: true_time_ns() - late() * 1_000_000_000


FAULTS = {fault.__name__: fault for fault in (count_to, signal_at, kill_child_at, limit_memory_at, set_clock_back)}

if "LMLAB_FAULT" in os.environ:
    wanted = json.loads(os.environ["LMLAB_FAULT"])
    if wanted.pop("process") in " ".join(sys.orig_argv):
        for name, given in wanted.items():
            FAULTS[name](**given)
