"""Real servers on 127.0.0.1, those of MLflow above all, and requests to them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError

import pytest


def post(address: str, content: dict) -> tuple[int, dict]:
    """The status and the JSON of the answer."""
    request = urllib.request.Request(
        address, json.dumps(content).encode(), headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def model_server(model: str, *, store: str, folder: Path) -> Iterator[str]:
    """The address where `mlflow models serve` answers requests to a model of this store."""
    arguments = ["models", "serve", "-m", model, "--env-manager", "local"]
    with mlflow_server(*arguments, port=free_port(), ready="/ping", folder=folder, store=store) as address:
        yield f"{address}/invocations"


@contextmanager
def mlflow_server(*arguments: str, port: int, ready: str, folder: Path, store: str | None = None) -> Iterator[str]:
    """An mlflow command that serves on this port, gone with all its processes after the block."""
    command = [sys.executable, "-m", "mlflow", *arguments, "--host", "127.0.0.1", "--port", str(port)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {**os.environ, "PATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"}
    if store is not None:
        variables["MLFLOW_TRACKING_URI"] = store
    with served(command, port=port, ready=ready, folder=folder, variables=variables) as address:
        yield address


@contextmanager
def served(command: list[str], *, port: int, ready: str, folder: Path, variables: Mapping[str, str]) -> Iterator[str]:
    """The address of a command that serves on this port, gone with all its processes after the block."""
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=variables, cwd=folder, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(f"{address}{ready}", process)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)


def _wait_until_ready(address: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"{address} did not answer; status {process.poll()}")
