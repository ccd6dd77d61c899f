"""Every launcher with a small Hydra application, in real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from ray import exceptions as ray_errors

from hydra_plugins.lmlab_launchers import _local
from hydra_plugins.lmlab_launchers._cluster import _ray_result
from hydra_plugins.lmlab_launchers._shipping import Shipment
from tests.laws.imports import PROJECT
from tests.pipelines.tiny import kill_group

pytestmark = pytest.mark.slow

CONFIG = f"""
defaults:
  - override hydra/job_logging: none
  - override hydra/hydra_logging: none
x: 0
mode: say
runtime: {{threads: null}}
hydra:
  searchpath: [file://{PROJECT / "conf"}]
  output_subdir: null
  sweep: {{dir: sweep, subdir: .}}
"""
APP = """
import json, os, signal, sys, time
import hydra
from pathlib import Path


def start(folder):
    @hydra.main(config_path="conf", config_name="config", version_base="1.3")
    def job(config):
        said = {"x": config.x, "pid": os.getpid(), "threads": config.runtime.threads,
                "omp": os.environ.get("OMP_NUM_THREADS")}
        (folder / f"{config.x}.json").write_text(json.dumps(said))
        if config.mode == "kill" and config.x == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        if config.mode == "wait":
            try:
                time.sleep(60)
            except BaseException as error:
                (folder / f"{config.x}.ended").write_text(repr(error))
                raise
        time.sleep(0.3)
        return config.x

    from hydra.core.plugins import Plugins
    BasicSweeper = Plugins.instance().class_name_to_class[
        "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"]
    sweep = BasicSweeper.sweep

    def kept(self, arguments):
        [results] = sweep(self, arguments)
        (folder / "results.json").write_text(json.dumps([result.return_value for result in results]))
    BasicSweeper.sweep = kept
    job()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    start(Path("out"))
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "conf").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "app.py").write_text(APP, encoding="utf-8")
    return tmp_path


def _start(app: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "app.py", "-m", *arguments]
    kept = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    return subprocess.Popen(
        command,
        cwd=app,
        env=kept,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _run(app: Path, *arguments: str) -> list:
    """What the jobs returned; what they said of themselves lies in out/."""
    process = _start(app, *arguments)
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said
    assert "Traceback" not in said
    return json.loads((app / "out" / "results.json").read_text())


def _said(app: Path) -> list[dict]:
    return [json.loads((app / "out" / f"{x}.json").read_text()) for x in (1, 2, 3)]


LAUNCHERS = {
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.num_workers=2"],
    "submitit": ["hydra/launcher=submitit", "hydra.launcher.cluster=local", "hydra.launcher.num_workers=2"],
    "ray": ["hydra/launcher=ray", "hydra.launcher.num_workers=2"],
}
THREADS = {"joblib": max(1, (os.cpu_count() or 1) // 2), "submitit": 4, "ray": 1}


@pytest.mark.parametrize("name", LAUNCHERS)
def test_jobs_run_in_other_processes_and_return_in_their_order(name: str, app: Path) -> None:
    assert _run(app, "x=1,2,3", *LAUNCHERS[name]) == [1, 2, 3]
    said = _said(app)
    assert [one["x"] for one in said] == [1, 2, 3]
    assert len({one["pid"] for one in said}) >= 2
    assert {one["threads"] for one in said} == {THREADS[name]}


def test_joblib_shares_the_threads_out_before_any_library_counts_them(app: Path) -> None:
    _run(app, "x=1,2,3", *LAUNCHERS["joblib"])
    assert {one["omp"] for one in _said(app)} == {str(THREADS["joblib"])}


def test_threads_that_the_user_set_stand(app: Path) -> None:
    _run(app, "x=1,2,3", "runtime.threads=7", *LAUNCHERS["joblib"])
    assert {one["threads"] for one in _said(app)} == {7}


@pytest.mark.long
@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_job_whose_process_is_killed_takes_no_other_with_it(name: str, app: Path) -> None:
    first, second, third = _run(app, "x=1,2,3", "mode=kill", *LAUNCHERS[name])
    assert (first, third) == (1, 3)
    state, metrics, error = second
    assert (state, metrics) == ("KILLED", {})
    assert error.startswith("its process died before the job ended")


class LostTask:
    """A Ray whose tasks end with the error, or the result, that stands for them."""

    exceptions = ray_errors

    def get(self, reference: object) -> object:
        if isinstance(reference, BaseException):
            raise reference
        return reference


JOB = Shipment("x=1", ".", [], b"")
LOST = [
    ray_errors.WorkerCrashedError(),
    ray_errors.OutOfMemoryError("too much\nhint"),
    ray_errors.NodeDiedError("gone"),
]


@pytest.mark.parametrize("error", LOST, ids=lambda error: type(error).__name__)
def test_a_task_that_ray_lost_is_a_killed_job(error: BaseException) -> None:
    ray: Any = LostTask()
    outcome = _ray_result(ray, error, JOB, again=lambda _: error).return_value
    assert outcome.state == "KILLED"
    assert str(error).splitlines()[0] in outcome.error
    assert "\n" not in outcome.error


def test_a_job_whose_machine_is_lost_is_tried_once_more() -> None:
    ray: Any = LostTask()
    tried = []
    found = _ray_result(ray, ray_errors.NodeDiedError("gone"), JOB, again=lambda job: tried.append(job) or "done")
    assert found == "done"
    assert tried == [JOB]


def test_what_a_task_raised_itself_is_raised() -> None:
    ray: Any = LostTask()
    with pytest.raises(ray_errors.RayTaskError):
        _ray_result(ray, ray_errors.RayTaskError("job", "traceback", ValueError("x")), JOB, again=lambda _: JOB)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_parent_ends_the_jobs_in_order_and_leaves_no_process(sent: signal.Signals, app: Path) -> None:
    process = _start(app, "x=1,2,3", "mode=wait", *LAUNCHERS["joblib"])
    try:
        deadline = time.monotonic() + 60
        while len(list((app / "out").glob("*.json"))) < 2:
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        children = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, sent)
        process.communicate(timeout=60)
    finally:
        kill_group(process)
    assert process.returncode != 0
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    ended = sorted(path.read_text() for path in (app / "out").glob("*.ended"))
    assert ended == ["SystemExit(143)"] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hydra/launcher=joblib", "hydra.launcher.num_workers=0"], "hydra.launcher.num_workers: "),
        (["hydra/launcher=submitit", "hydra.launcher.cluster=slurmm"], "hydra.launcher.cluster: "),
        (["hydra/launcher=ray", "hydra.launcher.gpus_per_job=-1"], "hydra.launcher.gpus_per_job: "),
        (["hydra/launcher=ray", "hydra.launcher.address=127.0.0.1:1"], "hydra.launcher.address: nothing answers at "),
    ],
)
def test_a_setting_that_does_not_fit_is_named(arguments: list[str], message: str, app: Path) -> None:
    process = _start(app, "x=1,2", *arguments)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert message in said


def test_a_process_that_is_gone_already_does_not_keep_the_others_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    started = [subprocess.Popen(command) for _ in range(2)]
    children = [psutil.Process(process.pid) for process in started]
    started[0].kill()
    started[0].wait()
    parent = SimpleNamespace(children=lambda **_: children)
    monkeypatch.setattr(_local, "psutil", SimpleNamespace(Process=lambda: parent, NoSuchProcess=psutil.NoSuchProcess))
    _local._end([])
    assert started[1].wait(timeout=30) in (-signal.SIGTERM, -signal.SIGKILL)
