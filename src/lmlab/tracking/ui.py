"""MLflow's UI on the project's runs."""

import os
import sys
from pathlib import Path

from lmlab.tracking.store import open_store
from lmlab.tracking.view import view_path

# MLflow's own patterns let any name through that begins as a private network's numbers do, such as 10.evil.example.
# With any port, as tunnels have others.
_HOSTS = ",".join(f"{name}{port}" for name in ("localhost", "127.0.0.1") for port in ("", ":*"))


def serve_ui(project: Path, *, port: int) -> None:
    """Become the process that serves the UI on 127.0.0.1; where a server keeps the runs, only say its address.

    Raises: TrackingError if the store cannot be used.
    """
    store = open_store(project)
    path = view_path(store.experiment_id)
    if store.address.startswith(("http://", "https://")):
        print(f"The runs are at {store.address.rstrip('/')}{path}")
        return
    print(f"The runs are at http://127.0.0.1:{port}{path} (Ctrl-C ends the server)", flush=True)
    # MLflow's job workers serve its tools for chat models; without them it starts faster.
    variables = {
        "MLFLOW_SERVER_ALLOWED_HOSTS": _HOSTS,
        **os.environ,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    os.execve(sys.executable, [sys.executable, *_arguments(store.address, project, port=port)], variables)


def _arguments(address: str, project: Path, *, port: int) -> list[str]:
    artifacts = str(project.resolve() / "mlartifacts")
    server = ["-m", "mlflow", "server", "--backend-store-uri", address, "--artifacts-destination", artifacts]
    return [*server, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
