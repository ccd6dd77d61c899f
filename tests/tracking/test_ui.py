import base64
import http.client
import json
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmlab.errors import InputError
from lmlab.tracking import open_store, serve_ui, ui
from lmlab.tracking.view import VIEW_TAG, saved_view
from tests.pipelines.tiny import command_of, environment, new_project
from tests.tracking.servers import free_port, served


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


def test_a_port_that_cannot_be_had_is_said_before_anything_is_printed(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(ui.os, "execve", lambda *_: pytest.fail("the server was started"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"127\.0\.0\.1:{busy} cannot be had .*: choose another --port"):
            serve_ui(project, port=busy)
    for port in (0, 99999):
        with pytest.raises(InputError, match=f"--port: must be from 1 to 65535, found {port}"):
            serve_ui(project, port=port)
    assert capsys.readouterr().out == ""


def test_a_servers_address_is_printed_without_its_password(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    store = open_store(project)._replace(address="http://user:secret@127.0.0.1:5000/")
    monkeypatch.setattr(ui, "open_store", lambda _: store)
    serve_ui(project, port=5001)
    assert capsys.readouterr().out.startswith("The runs are at http://127.0.0.1:5000/#/experiments/")


@pytest.fixture(scope="module")
def ui_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port where `python -m pipelines.ui` serves."""
    folder, port = new_project(tmp_path_factory.mktemp("ui") / "project"), free_port()
    command = command_of("ui", "--port", str(port))
    with served(command, port=port, ready="/health", folder=folder, variables=environment()):
        yield port


def _status(port: int, method: str, path: str, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(
            method, path, body=b'{"max_results": 1}', headers={"Content-Type": "application/json", **headers}
        )
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.slow
def test_the_ui_is_there_under_this_machines_names_alone(ui_port: int) -> None:
    # A name that its owner makes mean 127.0.0.1 is how a site gets at a server here.
    theirs = ["evil.example", "10.evil.example", "192.168.evil.example", "127.0.0.1.evil.example", "10.0.0.7"]
    for path in ("/", "/ajax-api/2.0/mlflow/experiments/search?max_results=1", "/get-artifact?run_uuid=x&path=y"):
        for name in ("127.0.0.1", "localhost"):
            assert _status(ui_port, "GET", path, Host=f"{name}:{ui_port}") != 403
            # As a tunnel's other end is called.
            assert _status(ui_port, "GET", path, Host=f"{name}:8080") != 403
        for name in theirs:
            assert _status(ui_port, "GET", path, Host=name) == 403
            assert _status(ui_port, "GET", path, Host=f"{name}:{ui_port}") == 403


@pytest.mark.slow
def test_another_site_cannot_use_the_ui(ui_port: int) -> None:
    own = f"http://127.0.0.1:{ui_port}"
    for path in ("/api/2.0/mlflow/experiments/search", "/ajax-api/2.0/mlflow/experiments/search"):
        assert _status(ui_port, "POST", path, Origin=own) == 200
        for origin in ("http://evil.example", "https://127.0.0.1.evil.example", "null"):
            assert _status(ui_port, "POST", path, Origin=origin) == 403
