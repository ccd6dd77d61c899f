"""Parts of a text in processes, as jobs of submitit and as tasks of a Ray cluster of two nodes: the same results."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from lmlab.data.store import TokenStore
from lmlab.errors import InputError
from lmlab.runtime import RuntimeSettings
from tests.corpus import runtime_settings, sentences
from tests.data.working import NUMBERS, prepared, worked
from tests.laws.imports import PROJECT
from tests.ray_nodes import Nodes, two_nodes

pytestmark = pytest.mark.slow

DOUBLED = [found for number in NUMBERS for found in (2 * number, -number)]
JOBS: dict[str, Any] = {
    "cluster": "local",
    "num_workers": 2,
    "memory_gigabytes": 1,
    "timeout_minutes": 2,
    "parts_per_job": 4,
}


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with two_nodes() as found:
        yield found


def _jobs(**values: Any) -> RuntimeSettings:
    return runtime_settings("submitit", **JOBS | values)


def _on_ray(nodes: Nodes, work: str) -> Any:
    """What a program of its own prints that works on the cluster."""
    command = [sys.executable, "-m", "tests.data.working", "ray", json.dumps({"address": nodes.address}), work]
    done = subprocess.run(
        command,
        cwd=PROJECT,
        env=os.environ | nodes.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(("processes", "num_here"), [(1, 0), (2, 0), (2, 5), (2, 100)])
def test_processes_give_all_that_comes_of_each_part_in_the_parts_order(processes: int, num_here: int) -> None:
    assert list(worked(runtime_settings(threads=processes), "doubled", num_here=num_here)) == DOUBLED


@pytest.mark.parametrize("parts_per_job", [5, 100])
def test_jobs_give_all_that_comes_of_each_part_in_the_parts_order(parts_per_job: int) -> None:
    assert list(worked(_jobs(parts_per_job=parts_per_job), "doubled")) == DOUBLED


def test_tasks_give_all_that_comes_of_each_part_in_the_parts_order(nodes: Nodes) -> None:
    assert _on_ray(nodes, "doubled") == DOUBLED


def test_both_nodes_of_a_cluster_work(nodes: Nodes) -> None:
    assert set(_on_ray(nodes, "process")) == set(nodes.raylets)


def test_few_parts_are_with_the_jobs_at_once() -> None:
    taken = []

    def numbers() -> Iterator[int]:
        for number in NUMBERS:
            taken.append(number)
            yield number

    found = worked(_jobs(parts_per_job=2), "doubled", numbers())
    assert next(found) == 0
    # Two jobs of two parts.
    assert len(taken) == 4
    assert [0, *found] == DOUBLED


def test_what_a_part_is_refused_for_is_said_as_it_is_said_here(nodes: Nodes) -> None:
    line = "record 3: no such number"
    for runtime in (runtime_settings(threads=1), runtime_settings(threads=2), _jobs()):
        with pytest.raises(InputError) as raised:
            list(worked(runtime, "refused"))
        assert str(raised.value) == line
    assert _on_ray(nodes, "refused") == line


def test_jobs_of_this_machine_are_gone_once_another_is_refused() -> None:
    before = psutil.Process().children()
    with pytest.raises(InputError, match="record 0"):
        list(worked(_jobs(parts_per_job=1), "first_refused"))
    assert psutil.Process().children() == before


@pytest.mark.long
def test_a_job_that_dies_is_one_line_and_leaves_no_file() -> None:
    with pytest.raises(InputError, match="a job of runtime/preparation=submitit was lost .*run the same command again"):
        list(worked(_jobs(), "killed"))


def test_a_task_whose_worker_dies_again_and_again_is_one_line(nodes: Nodes) -> None:
    said = _on_ray(nodes, "killed")
    assert said.startswith("a task of runtime/preparation=ray was lost in each of 4 tries (")
    assert "\n" not in said


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_jobs(sent: signal.Signals) -> None:
    values = json.dumps({**JOBS, "parts_per_job": 1})
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.data.working", "submitit", values, "waiting"],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        limit = time.monotonic() + 60
        # For each job the process that watches over it, and the one that works.
        while len(children := psutil.Process(process.pid).children(recursive=True)) < 4:
            assert time.monotonic() < limit
            time.sleep(0.1)
        process.send_signal(sent)
        process.communicate(timeout=60)
    finally:
        process.kill()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive


@pytest.mark.long
def test_many_files_give_the_same_bytes_whoever_works_on_them(nodes: Nodes, tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    for number in range(60):
        paragraphs = ["".join(sentences(6, seed=number % 50 * 10 + paragraph)) for paragraph in range(10)]
        paragraphs[3] = "sch\u00c3\u00b6n  gesagt \nund  \x00 gut"
        (tmp_path / "text" / f"{number:03}.txt").write_text("\n\n".join(paragraphs), encoding="utf-8")
    one = prepared(tmp_path, runtime_settings(threads=1))
    # Each of these has many parts.
    assert pq.read_metadata(tmp_path / "processes" / "records" / "train.parquet").num_row_groups > 8
    assert TokenStore.open(tmp_path / "processes" / "tokens", "train").num_records > 1000
    assert prepared(tmp_path, runtime_settings(threads=3)) == one
    assert prepared(tmp_path, _jobs(parts_per_job=50)) == one
    assert _on_ray(nodes, str(tmp_path)) == one


@pytest.mark.parametrize(("setting", "extra"), [("submitit", "slurm"), ("ray", "ray")])
def test_a_package_that_is_not_there_is_named_with_what_installs_it(
    setting: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, setting, None)
    line = rf"runtime/preparation={setting} needs the package {setting}: pip install .* -e '\.\[{extra}\]'"
    with pytest.raises(InputError, match=line):
        list(worked(runtime_settings(setting), "doubled"))


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("auto", r"runtime.preparation.address: nothing answers at [\d.]+:1 .*start the cluster"),
        ("127.0.0.1:1", r"runtime.preparation.address: nothing answers at [\d.]+:1 .*start the cluster"),
        ("127.0.0.1:99999", r"runtime.preparation.address: nothing answers at [\d.]+:99999 "),
        ("head", "runtime.preparation.address: no Ray cluster at head"),
    ],
)
def test_a_cluster_that_is_not_there_is_said_at_once(address: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1" if address == "auto" else "")
    with pytest.raises(InputError, match=line):
        list(worked(runtime_settings("ray", address=address), "doubled"))
