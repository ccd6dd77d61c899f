import base64
import json
import zlib
from pathlib import Path

import pytest

from lmlab.tracking import open_store, serve_ui, ui
from lmlab.tracking.view import VIEW_TAG, saved_view


def _state(value: str) -> dict:
    view = json.loads(value)
    assert view["name"] == "lmlab"
    packed = view["state"].removeprefix("deflate;")
    return json.loads(zlib.decompress(base64.b64decode(packed)))


def test_a_new_store_has_the_saved_view(project: Path) -> None:
    store = open_store(project)
    state = _state(store.client.get_experiment(store.experiment_id).tags[VIEW_TAG])
    assert "metrics.`bits_per_byte`" in state["selectedColumns"]
    assert "params.`model.name`" in state["selectedColumns"]


def test_every_chart_of_the_view_stands_in_one_of_its_sections() -> None:
    state = _state(saved_view())
    sections = {section["uuid"] for section in state["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in state["compareRunCharts"]} <= sections
    assert state["compareRunCharts"][0]["metricKey"] == "bits_per_byte"


def test_the_view_fits_into_a_tag() -> None:
    # MLflow's tables take 5000 characters.
    assert len(saved_view()) < 5000


def test_the_ui_serves_the_projects_store_on_this_machine_only(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(ui.os, "execve", lambda _program, arguments, _environment: started.append(arguments))
    serve_ui(project, port=5001)
    [arguments] = started
    line = " ".join(arguments)
    assert f"--backend-store-uri sqlite:///{project}/mlflow.db" in line
    assert "--host 127.0.0.1 --port 5001" in line
    assert "http://127.0.0.1:5001/#/experiments/1/runs?viewStateShareKey=lmlab" in capsys.readouterr().out
