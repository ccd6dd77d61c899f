"""What a stage may tell of itself while it runs. This run forgets; lmlab.tracking has one that MLflow shows."""

from collections.abc import Mapping


class Run:
    """A run that nobody watches: for tests, and where tracking is off or its server is down."""

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Add a point to each metric's curve at this optimizer step."""
