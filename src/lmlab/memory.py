"""The most memory that this process has held at once."""

import resource
import sys
from contextlib import suppress
from pathlib import Path

_MEGABYTE = 1e6


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
