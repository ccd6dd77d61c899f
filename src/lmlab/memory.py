"""The memory of this process: the most that it held at once, and what it does with what it no longer needs."""

import ctypes
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_MEGABYTE = 1e6
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def forget_peak_memory() -> None:
    """Let the peak begin anew with what is held now, where the system can (Linux); elsewhere it stays."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # see proc(5)


def peak_memory_megabytes() -> float:
    """The highest resident memory since the peak was last forgotten, in megabytes of 10^6 bytes."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / _MEGABYTE
    unit = 1 if sys.platform == "darwin" else 1024  # see getrusage(2) of each system
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MEGABYTE


@contextmanager
def bounded_memory(more_bytes: int) -> Iterator[None]:
    """The block with a MemoryError where it takes more than so many bytes on top, where the system can (Linux).

    For short calls of libraries that ask for what a file says: other threads have the same bound meanwhile.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    with suppress(OSError):
        # The sixth number is what the limit counts: not the room that allocators only reserve. See proc(5).
        held = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5]) * resource.getpagesize()
        bounds = [bound for bound in (soft, hard, held + more_bytes) if bound != resource.RLIM_INFINITY]
        if held:
            resource.setrlimit(resource.RLIMIT_DATA, (min(bounds), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def keep_freed_memory() -> None:
    """Let big blocks be used again instead of giving each back to the system, where the C library is glibc.

    By default every big tensor of a training step is a new mapping, whose pages the system fills with zeros first.
    """
    with suppress(OSError, AttributeError):
        set_option = ctypes.CDLL("libc.so.6").mallopt  # see mallopt(3)
        set_option(_MMAP_THRESHOLD, 1 << 30)
        set_option(_TRIM_THRESHOLD, 1 << 30)
