"""Every run in MLflow, and the only door to it.

Files are the record, MLflow the view: stages write their reports first, and `track` fills in what a
store lacks. A store that fails costs one warning, never a training. Imports the modules of lmlab's
own folder, data.task and applying (to serve a model); mlflow itself is imported inside functions, as it takes seconds.
"""

from lmlab.tracking.fill import RunFiles, Tracked, fill, track
from lmlab.tracking.identity import RunIdentity
from lmlab.tracking.run import MlflowRun, tracked_run
from lmlab.tracking.store import TrackingError, open_store, tracking_address
from lmlab.tracking.sweep import close_sweep, end_killed_jobs, open_sweep
from lmlab.tracking.ui import serve_ui

__all__ = [
    "MlflowRun",
    "RunFiles",
    "RunIdentity",
    "Tracked",
    "TrackingError",
    "close_sweep",
    "end_killed_jobs",
    "fill",
    "open_store",
    "open_sweep",
    "serve_ui",
    "track",
    "tracked_run",
    "tracking_address",
]
