import time
from pathlib import Path

import pytest

from lmlab.bundle import load_bundle
from lmlab.files import file_digest
from lmlab.tracking import RunFiles, RunIdentity, fill, open_store, track, tracked_run, tracking_address
from lmlab.tracking.registry import model_folder
from tests.tracking.servers import free_port, mlflow_server


@pytest.mark.long
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
    port = free_port()
    with mlflow_server(*serve, port=port, ready="/health", folder=tmp_path) as address:
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
    with mlflow_server(*serve, port=port, ready="/health", folder=tmp_path) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        tracked = track(tmp_path, identity, files)
        store = open_store(tmp_path)
        found = store.client.get_run(tracked.run_id)
        assert not tracked.created
        assert found.info.status == "FINISHED"
        points = store.client.get_metric_history(tracked.run_id, "tokens")
        assert [(point.step, point.value) for point in points] == [(0, 0), (10, 640), (20, 1280), (30, 1920)]
        assert track(tmp_path, identity, files).logged == ()
        _check_the_model(tmp_path, files, caplog)
    assert tracking_address(tmp_path) == address
    assert not (tmp_path / "mlflow.db").exists()


def _check_the_model(project: Path, files: RunFiles, caplog: pytest.LogCaptureFixture) -> None:
    """The server has registered the run's model, which is downloaded once, without its code."""
    caplog.clear()
    caplog.set_level("INFO", logger="lmlab")
    folders = [model_folder(project, f"models:/language_modeling/{version}") for version in ("1", "latest")]
    assert [record.getMessage() for record in caplog.records] == ["downloading the model models:/language_modeling/1"]
    assert folders[0] == folders[1]
    assert folders[0].is_relative_to(project / "work" / "models")
    assert files.export is not None
    assert file_digest(folders[0] / "seal.json") == file_digest(files.export / "bundle" / "seal.json")
    assert load_bundle(folders[0])
    assert not list((project / "work").rglob("*.py"))
