"""What a stage may tell of itself while it runs, and how a run ended. lmlab.tracking has a run that MLflow shows."""

from collections.abc import Mapping
from typing import Literal, NamedTuple


class Run:
    """A run that nobody watches: for tests, and where tracking is off or its server is down."""

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Add a point to each metric's curve at this optimizer step."""


class PrunedError(Exception):
    """A search holds the run to be hopeless: it ends early, and nothing is wrong with it."""


class Outcome(NamedTuple):
    """How a job of a sweep ended."""

    state: Literal["FINISHED", "FAILED", "PRUNED", "KILLED"]
    """KILLED: its process died under it, and the same command goes on with it."""
    metrics: Mapping[str, float]
    """The numbers of its reports by name, such as validation_bits_per_byte; empty unless it finished."""
    error: str | None
    """What went wrong, in one line, if it failed or was killed."""
