"""What a hostile input must not do: hang, fill memory, run code, or write beside its folder.

`attempt` calls a door and lets through one thing alone: the refusal that the product documents.
"""

import faulthandler
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from lmlab.errors import InputError
from lmlab.memory import forget_peak_memory, peak_memory_megabytes
from pipelines.command import describe

ResultT = TypeVar("ResultT")

MOST_SECONDS = 20
"""For one input; each takes milliseconds."""
LAST_SECONDS = 60
"""When a call that no signal interrupts ends the tests, with a traceback."""
MOST_MEGABYTES = 700
"""That one input may take on top."""
WRITES: dict[str, tuple[tuple[int, int | None], ...]] = {
    **dict.fromkeys(("os.remove", "os.rmdir"), ((0, 1),)),
    **dict.fromkeys(("os.mkdir", "os.chmod"), ((0, 2),)),
    "os.utime": ((0, 3),),
    "os.truncate": ((0, None),),
    **dict.fromkeys(("os.rename", "os.link"), ((0, 2), (1, 3))),
    "os.symlink": ((1, 2),),
}
"""Events of auditing that change files, with the places of their paths and of the folder that these start from."""
SPAWNS = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "subprocess.Popen", "pty.spawn")
REACHES = ("socket.connect", "socket.bind", "socket.sendto", "urllib.Request", "ftplib.connect", "smtplib.connect")
UNPICKLES = ("pickle.find_class",)


class HungError(BaseException):
    """A call took longer than any input may; no `except Exception` catches it."""


class ForbiddenError(BaseException):
    """A call did what no input may make it do."""


class _Watch:
    """What is forbidden while an input is read; Python's auditing tells of it."""

    def __init__(self) -> None:
        self.folders: tuple[str, ...] = ()
        self.is_on = self.is_hooked = False

    def begin(self, folders: tuple[Path, ...]) -> None:
        if not self.is_hooked:
            # A hook can never be taken away again: it looks the other way between inputs.
            sys.addaudithook(self._hear)
            self.is_hooked = True
        self.folders, self.is_on = tuple(os.path.realpath(folder) for folder in folders), True

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.is_on:
            return
        if event in SPAWNS or event in REACHES or event in UNPICKLES:
            self._forbid(event, arguments)
        elif event == "open":
            path, mode, flags = arguments
            is_written = (
                bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) if mode is None else set(mode) & set("wax+")
            )
            if is_written:
                self._check(event, path)
        elif event == "exec":
            # Code that lies in the input's own folder: that of packages lies elsewhere.
            if self._is_inside(getattr(arguments[0], "co_filename", "")):
                self._forbid(event, arguments)
        elif event in WRITES:
            for place, start in WRITES[event]:
                self._check(event, arguments[place], start=-1 if start is None else arguments[start])

    def _check(self, event: str, path: Any, *, start: int = -1) -> None:
        if isinstance(path, int) or str(path) == os.devnull:
            return
        whole = os.fsdecode(path) if start < 0 else os.path.join(f"/proc/self/fd/{start}", os.fsdecode(path))
        if not self._is_inside(whole):
            self._forbid(event, (whole,))

    def _is_inside(self, path: str | bytes) -> bool:
        # The folder itself may be a link; what is written through one inside it must not lead out.
        whole = os.path.realpath(os.fsdecode(path))
        return any(whole == folder or whole.startswith(folder + os.sep) for folder in self.folders)

    def _forbid(self, event: str, arguments: tuple[Any, ...]) -> None:
        self.is_on = False
        raise ForbiddenError(f"{event}{arguments!r}")


_WATCH = _Watch()


@contextmanager
def watched(*folders: Path, seconds: float = MOST_SECONDS, megabytes: float = MOST_MEGABYTES) -> Iterator[None]:
    """Ends the block with an error where it writes anything outside these folders, runs code, or takes too much.

    Raises: HungError, ForbiddenError; AssertionError where it took more memory than allowed.
    """

    def expire(*_: object) -> None:
        raise HungError(f"still at work after {seconds} seconds")

    before = signal.signal(signal.SIGALRM, expire)
    faulthandler.dump_traceback_later(LAST_SECONDS + seconds, exit=True)
    forget_peak_memory()
    held = peak_memory_megabytes()
    _WATCH.begin(folders)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        faulthandler.cancel_dump_traceback_later()
        _WATCH.is_on = False
    taken = peak_memory_megabytes() - held
    assert taken <= megabytes, f"took {taken:.0f} MB"


def attempt(
    door: Callable[[], ResultT], *folders: Path, refusals: tuple[type[Exception], ...] = (InputError,), **limits: float
) -> ResultT | None:
    """What the door gives, or None where it refuses the input in one line as the product documents it."""
    with watched(*folders, **limits):
        try:
            return door()
        except refusals as refusal:
            line = describe(refusal)
    assert line.strip(), "a refusal says nothing"
    assert "\n" not in line
    return None


def refusal_of(door: Callable[[], object], *folders: Path, **limits: float) -> str:
    """The line with which the door refuses an input that it must not take."""
    with watched(*folders, **limits):
        try:
            result = door()
        except InputError as refusal:
            return str(refusal)
    raise AssertionError(f"was not refused: {str(result)[:200]}")


def largest_resident_megabytes() -> float:
    """Of this process since it began, for children that are measured."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
