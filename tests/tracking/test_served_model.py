import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lmlab.bundle import load_bundle
from lmlab.decoding.generate import generate
from lmlab.decoding.sampling import Sampling
from lmlab.tracking import RunFiles, RunIdentity, fill, open_store, track, tracked_run, tracking_address


def _model_folder(project: Path) -> Path:
    store = open_store(project)
    [model] = store.client.search_logged_models([store.experiment_id])
    [folder] = (project / "mlartifacts" / "models").glob(f"{model.model_id}/artifacts")
    return folder


def _greedy(files: RunFiles, prompt: str, *, max_new_tokens: int) -> str:
    assert files.export is not None
    model, tokenizer, _ = load_bundle(files.export / "bundle")
    [ids] = generate(
        model,
        [[0, *tokenizer.encode([prompt])[0]]],
        max_new_tokens=max_new_tokens,
        sampling=Sampling(temperature=0, top_k=0, top_p=1),
        stop_ids=frozenset({0}),
        seed=1,
    )
    return tokenizer.decode(ids)


def test_the_bundle_is_the_runs_model_and_has_its_metrics(
    project: Path, identity: RunIdentity, files: RunFiles
) -> None:
    tracked = track(project, identity, files)
    store = open_store(project)
    [model] = store.client.search_logged_models([store.experiment_id])
    assert (model.name, model.status, model.source_run_id) == ("lstm", "READY", tracked.run_id)
    outputs = store.client.get_run(tracked.run_id).outputs
    assert outputs is not None
    assert [output.model_id for output in outputs.model_outputs] == [model.model_id]
    [metric] = [metric for metric in model.metrics or [] if metric.key == "bits_per_byte"]
    assert metric.value == pytest.approx(2.41)
    assert metric.dataset_name == "package_docs/test"


def test_the_logged_model_pickles_nothing_and_carries_its_code(
    project: Path, identity: RunIdentity, files: RunFiles
) -> None:
    track(project, identity, files)
    folder = _model_folder(project)
    assert not list(folder.rglob("*.pkl"))
    assert not list(folder.rglob("__pycache__"))
    assert (folder / "code" / "lmlab" / "bundle.py").is_file()
    assert "torch==2.13.0" in (folder / "requirements.txt").read_text(encoding="utf-8").split()


def test_the_loaded_model_goes_on_as_the_bundle_does(project: Path, identity: RunIdentity, files: RunFiles) -> None:
    from mlflow import pyfunc
    from pandas import DataFrame

    track(project, identity, files)
    model = pyfunc.load_model(str(_model_folder(project)))
    assert model.predict(DataFrame({"prompt": ["the ", ""]}))["text"].tolist() == [
        _greedy(files, "the ", max_new_tokens=5),
        _greedy(files, "", max_new_tokens=5),
    ]
    [longer] = model.predict(DataFrame({"prompt": ["the "]}), params={"max_new_tokens": 9})["text"]
    assert longer == _greedy(files, "the ", max_new_tokens=9)


def test_a_prompt_that_is_no_string_is_refused(project: Path, identity: RunIdentity, files: RunFiles) -> None:
    from mlflow import pyfunc

    track(project, identity, files)
    model = pyfunc.load_model(str(_model_folder(project)))
    # MLflow makes one row of a plain dict, which holds the whole list.
    with pytest.raises(ValueError, match="each row must hold one string"):
        model.predict({"prompt": ["the ", "cat"]})


@pytest.mark.slow
def test_mlflow_serves_the_logged_model(project: Path, identity: RunIdentity, files: RunFiles) -> None:
    track(project, identity, files)
    arguments = ["models", "serve", "-m", str(_model_folder(project)), "--env-manager", "local"]
    with _mlflow(*arguments, port=_free_port(), ready="/ping", folder=project) as address:
        answer = _post(
            f"{address}/invocations",
            {"dataframe_split": {"columns": ["prompt"], "data": [["the "]]}, "params": {"max_new_tokens": 7}},
        )
    assert answer == {"predictions": [{"text": _greedy(files, "the ", max_new_tokens=7)}]}


@pytest.mark.slow
def test_a_server_that_dies_in_mid_training_costs_nothing_but_warnings_and_is_filled_in_later(
    tmp_path: Path,
    identity: RunIdentity,
    files: RunFiles,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    database = f"sqlite:///{tmp_path}/server.db"
    serve = ["server", "--backend-store-uri", database, "--artifacts-destination", str(tmp_path / "served")]
    serve += ["--workers", "1"]
    port = _free_port()
    with _mlflow(*serve, port=port, ready="/health", folder=tmp_path) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        training = tracked_run(tmp_path, identity)
        run = training.__enter__()
        run.log_metrics({"tokens": 0.0}, step=0)
        assert run.flush()  # type: ignore[attr-defined]
    start = time.monotonic()
    run.log_metrics({"tokens": 640.0}, step=10)
    assert time.monotonic() - start < 0.1
    assert fill(run, files) == ()
    training.__exit__(None, None, None)
    assert time.monotonic() - start < 60
    assert 1 <= len(caplog.records) <= 3
    with _mlflow(*serve, port=port, ready="/health", folder=tmp_path) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        tracked = track(tmp_path, identity, files)
        store = open_store(tmp_path)
        found = store.client.get_run(tracked.run_id)
        assert not tracked.created
        assert found.info.status == "FINISHED"
        points = store.client.get_metric_history(tracked.run_id, "tokens")
        assert [(point.step, point.value) for point in points] == [(0, 0), (10, 640), (20, 1280), (30, 1920)]
        assert track(tmp_path, identity, files).logged == ()
    assert tracking_address(tmp_path) == address
    assert not (tmp_path / "mlflow.db").exists()


def _post(address: str, content: dict) -> dict:
    request = urllib.request.Request(
        address, json.dumps(content).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def _mlflow(*arguments: str, port: int, ready: str, folder: Path) -> Iterator[str]:
    """An mlflow command that serves on this port, gone with all its processes after the block."""
    command = [sys.executable, "-m", "mlflow", *arguments, "--host", "127.0.0.1", "--port", str(port)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    quiet = {**os.environ, "PATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=quiet, cwd=folder, start_new_session=True)
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
