import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lmlab.files import write_json
from lmlab.run import Run
from lmlab.tracking import RunFiles, RunIdentity, fill, open_store, track, tracked_run

if TYPE_CHECKING:
    from mlflow.entities import Run as StoredRun


def _only_run(project: Path) -> "StoredRun":
    store = open_store(project)
    [run] = store.client.search_runs([store.experiment_id])
    return store.client.get_run(run.info.run_id)


def _curve(project: Path, key: str) -> dict[int, float]:
    run_id = _only_run(project).info.run_id
    points = open_store(project).client.get_metric_history(run_id, key)
    assert len({point.step for point in points}) == len(points)
    return {point.step: point.value for point in points}


def _artifacts(project: Path, folder: str | None = None) -> list[str]:
    run_id = _only_run(project).info.run_id
    return [entry.path for entry in open_store(project).client.list_artifacts(run_id, folder)]


def _content(project: Path) -> tuple[dict, dict]:
    """Every row of the database and every artifact."""
    with closing(sqlite3.connect(project / "mlflow.db")) as connection:
        tables = [name for (name,) in connection.execute("select name from sqlite_master where type='table'")]
        rows = {name: sorted(map(repr, connection.execute(f'select * from "{name}"'))) for name in tables}
    artifacts = {path: path.read_bytes() for path in (project / "mlartifacts").rglob("*") if path.is_file()}
    return rows, artifacts


def test_track_creates_the_run_that_a_store_lacks(project: Path, identity: RunIdentity, files: RunFiles) -> None:
    tracked = track(project, identity, files)
    run = _only_run(project)
    assert tracked.created
    assert run.info.run_id == tracked.run_id
    assert run.info.status == "FINISHED"
    assert run.data.params["model.name"] == "lstm"
    assert run.data.tags["lmlab.recorded"] == "afterwards"
    assert "lmlab.machine" not in run.data.tags


def test_filling_in_twice_leaves_the_same_store(project: Path, identity: RunIdentity, files: RunFiles) -> None:
    track(project, identity, files)
    before = _content(project)
    again = track(project, identity, files)
    assert (again.created, again.logged) == (False, ())
    assert _content(project) == before


def test_final_metrics_come_with_their_bounds_and_baselines(
    project: Path, identity: RunIdentity, files: RunFiles
) -> None:
    track(project, identity, files)
    metrics = _only_run(project).data.metrics
    # conftest: an LSTM's 2.4 and a hundredth for seed 1.
    assert metrics["bits_per_byte"] == pytest.approx(2.41)
    assert metrics["bits_per_byte_low"] == pytest.approx(2.36)
    assert metrics["bits_per_byte_high"] == pytest.approx(2.46)
    assert metrics["baseline/xz/bits_per_byte"] == 2.6
    assert metrics["parameters"] == 1234
    assert metrics["training/steps"] == 30
    assert _only_run(project).data.tags["lmlab.stopped_by"] == "max_steps"


def test_a_run_filled_in_afterwards_has_the_curves_of_a_live_one(
    project: Path, identity: RunIdentity, files: RunFiles
) -> None:
    track(project, identity, files)
    assert _curve(project, "tokens") == {0: 0.0, 10: 640.0, 20: 1280.0, 30: 1920.0}
    assert list(_curve(project, "validation_bits_per_byte")) == [0, 20]


def test_only_missing_points_are_added_to_a_live_curve(project: Path, identity: RunIdentity, files: RunFiles) -> None:
    with tracked_run(project, identity) as run:
        run.log_metrics({"tokens": 640.0}, step=10)
        run.log_metrics({"tokens": 960.0}, step=15)
        fill(run, files)
    assert sorted(_curve(project, "tokens").items()) == [(0, 0), (10, 640), (15, 960), (20, 1280), (30, 1920)]


def test_a_live_run_is_filled_in_part_by_part(project: Path, identity: RunIdentity, files: RunFiles) -> None:
    nothing = RunFiles(*[None] * len(RunFiles._fields))
    with tracked_run(project, identity) as run:
        assert fill(run, nothing._replace(cleaning=files.cleaning)) == ("reports/cleaning.json",)
        assert fill(run, nothing._replace(evaluation=files.evaluation)) == (
            "reports/evaluation.json",
            "metrics",
            "samples",
        )
        assert "model metrics" in fill(run, files)
        assert fill(run, files) == ()


def test_data_sets_are_inputs_with_digest_rows_and_context(
    project: Path, identity: RunIdentity, files: RunFiles
) -> None:
    track(project, identity, files)
    inputs = _only_run(project).inputs
    assert inputs is not None
    seal = json.loads((project.parent / "outputs" / "records" / "seal.json").read_text(encoding="utf-8"))
    found = {
        one.dataset.name: (one.dataset.digest, one.dataset.profile, one.tags[0].value) for one in inputs.dataset_inputs
    }
    assert found == {
        f"package_docs/{split}": (seal["files"][f"{split}.parquet"][:32], json.dumps({"num_rows": rows}), context)
        for split, rows, context in (
            ("train", 100, "training"),
            ("validation", 10, "validation"),
            ("test", 12, "test"),
        )
    }


def test_samples_are_a_table_and_plots_and_reports_artifacts(
    project: Path, identity: RunIdentity, files: RunFiles
) -> None:
    track(project, identity, files)
    store = open_store(project)
    table = store.client.load_table(store.experiment_id, "samples.json")
    assert table[["prompt", "text"]].to_numpy().tolist() == [
        ["(no prompt, 1)", "the cat"],
        ["the", " cat sat"],
    ]
    assert _artifacts(project, "plots") == ["plots/curves.svg"]
    assert "reports/report.html" in _artifacts(project, "reports")
    assert "reports/history.csv" in _artifacts(project, "reports")
    assert {"predictions.parquet", "samples.json", "settings.yaml"} <= set(_artifacts(project))


def test_a_report_that_changed_is_logged_again_in_place_of_the_old_one(
    project: Path, identity: RunIdentity, files: RunFiles
) -> None:
    track(project, identity, files)
    assert files.evaluation is not None
    write_json(files.evaluation, {"bits_per_byte": 1.5, "details": {"samples": [{"prompt": "a", "text": "b"}]}})
    logged = track(project, identity, files).logged
    assert logged == ("reports/evaluation.json", "metrics", "samples", "model metrics", "registered model")
    assert _only_run(project).data.metrics["bits_per_byte"] == 1.5
    store = open_store(project)
    assert len(store.client.load_table(store.experiment_id, "samples.json")) == 1


def test_filling_in_goes_on_where_it_failed(project: Path, identity: RunIdentity, files: RunFiles) -> None:
    whole = project / "whole"
    track(whole, identity, files)
    assert files.export is not None
    config = files.export / "bundle" / "config.json"
    content = config.read_bytes()
    config.unlink()
    with pytest.raises(ValueError, match=r"config\.json does not exist"):
        track(project, identity, files)
    config.write_bytes(content)
    assert track(project, identity, files).logged == ("model", "weights", "model metrics", "registered model")
    assert _only_run(project).data.metrics == _only_run(whole).data.metrics


def test_a_killed_run_whose_files_are_there_ends_up_finished(
    project: Path, identity: RunIdentity, files: RunFiles
) -> None:
    with pytest.raises(KeyboardInterrupt), tracked_run(project, identity):
        raise KeyboardInterrupt
    tracked = track(project, identity, files)
    assert not tracked.created
    assert _only_run(project).info.status == "FINISHED"
    assert "lmlab.machine" in _only_run(project).data.tags


def test_a_run_that_nobody_watches_takes_no_files(files: RunFiles) -> None:
    assert fill(Run(), files) == ()


def test_a_store_that_fails_while_filling_in_costs_one_warning(
    project: Path, identity: RunIdentity, files: RunFiles, caplog: pytest.LogCaptureFixture
) -> None:
    with tracked_run(project, identity) as run:
        shutil.rmtree(project / "mlartifacts")
        (project / "mlartifacts").write_text("in the way", encoding="utf-8")
        assert fill(run, files) == ()
    [warning] = caplog.records
    assert "tracking failed while filling in the run" in warning.getMessage()
