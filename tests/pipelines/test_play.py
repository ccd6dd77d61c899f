"""The command that serves the playground."""

import http.client
import os
import re
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.applying.tiny_bundles import tiny_bundle
from tests.pipelines.conftest import Fails
from tests.pipelines.tiny import kill_group, new_project, start_command


def _get(port: int, path: str, host: str, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers={"Host": host, **headers})
    try:
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.slow
def test_the_page_is_there_for_this_machine_and_ends_quietly(tmp_path: Path) -> None:
    project = new_project(tmp_path / "project")
    tiny_bundle(project / "models" / "export" / "bundle", "language_modeling")
    process = start_command(project, "play", "--port", "0")
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.fullmatch(r"The playground is at http://127\.0\.0\.1:(\d+) \(Ctrl-C ends it\)\n", said)
        assert found, said + process.stdout.read()
        port = int(found.group(1))
        assert _get(port, "/", f"127.0.0.1:{port}") == 200
        assert _get(port, "/", f"evil.example:{port}") == 421
        assert _get(port, "/", f"10.evil.example:{port}") == 421
        assert _get(port, "/config", f"127.0.0.1:{port}", Origin=f"http://127.0.0.1:{port}") == 200
        assert _get(port, "/config", f"127.0.0.1:{port}", Origin="http://evil.example") == 403
        assert _get(port, "/gradio_api/info", f"127.0.0.1:{port}") == 404
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(timeout=30) == 0
        assert process.stdout.read() == "the playground has ended\n"
    finally:
        kill_group(process)
        if process.stdout:
            process.stdout.close()


def test_a_project_without_models_says_how_to_get_one(fails: Fails) -> None:
    assert "there is no model yet: train one with `make repro`" in fails("play")


def test_without_gradio_the_line_says_what_to_install(
    project: Path, monkeypatch: pytest.MonkeyPatch, fails: Fails
) -> None:
    (project / "models" / "export").mkdir(parents=True)
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert fails("play") == "the playground needs gradio: pip install 'lmlab[play]'"


def test_a_port_that_is_taken_is_named(project: Path, fails: Fails) -> None:
    (project / "models" / "export").mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"127.0.0.1:{port} cannot be had" in fails("play", "--port", str(port))
    assert "--port: must be from 0 to 65535, found 70000" in fails("play", "--port", "70000")
