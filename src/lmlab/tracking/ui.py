"""MLflow's UI on the project's runs."""

import os
import socket
import sys
from pathlib import Path

from lmlab.errors import InputError
from lmlab.tracking.store import open_store
from lmlab.tracking.view import view_path

# MLflow's own patterns let any name through that begins as a private network's numbers do, such as 10.evil.example.
# With any port, as tunnels have others.
_HOSTS = ",".join(f"{name}{port}" for name in ("localhost", "127.0.0.1") for port in ("", ":*"))
HOST = "127.0.0.1"
HIGHEST_PORT = 65535


def serve_ui(project: Path, *, port: int) -> None:
    """Become the process that serves the UI on 127.0.0.1; where a server keeps the runs, only say its address.

    Raises: TrackingError if the store cannot be used, InputError if the port cannot be had.
    """
    store = open_store(project)
    path = view_path(store.experiment_id)
    if store.address.startswith(("http://", "https://")):
        print(f"The runs are at {store.shown_address.rstrip('/')}{path}")
        return
    _check_port(port)
    print(f"The runs are at http://{HOST}:{port}{path} (Ctrl-C ends the server)", flush=True)
    # MLflow's job workers serve its tools for chat models; without them it starts faster.
    variables = {
        "MLFLOW_SERVER_ALLOWED_HOSTS": _HOSTS,
        **os.environ,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    os.execve(sys.executable, [sys.executable, *_arguments(store.address, project, port=port)], variables)


def _check_port(port: int) -> None:
    # The server itself would say it after a line that names its address, in a traceback.
    if not 1 <= port <= HIGHEST_PORT:
        raise InputError(f"--port: must be from 1 to {HIGHEST_PORT}, found {port}")
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        raise InputError(f"{HOST}:{port} cannot be had ({error.strerror}): choose another --port") from None


def _arguments(address: str, project: Path, *, port: int) -> list[str]:
    artifacts = str(project.resolve() / "mlartifacts")
    server = ["-m", "mlflow", "server", "--backend-store-uri", address, "--artifacts-destination", artifacts]
    return [*server, "--host", HOST, "--port", str(port), "--workers", "1"]
