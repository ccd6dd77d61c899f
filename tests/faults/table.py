"""reports/reliability.md: what was injected, how often, and how it ended."""

from collections.abc import Sequence
from typing import NamedTuple

SAME_BYTES = "run again, it gives the bytes of an undisturbed run"
GOES_ON = "it goes on and gives the bytes of an undisturbed run"
ONE_LINE = "one line, exit code 2, nothing half-written"

HEAD = """\
# Reliability

Written by `make faults`, which runs tests/faults/ and fails where a fault ends otherwise. Every fault is a real one: \
signals to real processes, a full file system, damaged files, limits of the system. A stage is disturbed in a process \
of its own, as DVC starts it, and what is left on disk is compared by SHA-256. Bytes lost are those of files that were \
there before, or that an undisturbed run has, and that were missing or other ones in the end; `-` where a fault has no \
file to lose.

| fault | where, how often | how it ended | bytes lost |
|---|---|---|---:|
"""


class Injection(NamedTuple):
    """A fault that a test injected."""

    fault: str
    where: str
    """The stage or command."""
    outcome: str
    bytes_lost: int | None
    """None where nothing could be lost."""
    times: int = 1


def table_of(injections: Sequence[Injection]) -> str:
    """The page: one row for each fault and outcome, in the order of the tests."""
    rows: dict[tuple[str, str], list[Injection]] = {}
    for one in injections:
        rows.setdefault((one.fault, one.outcome), []).append(one)
    lines = [f"| {fault} | {_places(found)} | {outcome} | {_lost(found)} |" for (fault, outcome), found in rows.items()]
    return HEAD + "\n".join(lines) + f"\n\nInjected in all: {sum(one.times for one in injections)}.\n"


def _places(injections: Sequence[Injection]) -> str:
    times: dict[str, int] = {}
    for one in injections:
        times[one.where] = times.get(one.where, 0) + one.times
    return ", ".join(f"{where} {count}" for where, count in times.items())


def _lost(injections: Sequence[Injection]) -> str:
    counted = [one.bytes_lost for one in injections if one.bytes_lost is not None]
    return str(sum(counted)) if counted else "-"
