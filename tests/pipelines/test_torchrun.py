"""The stage train under torchrun: on one machine, and on two, each a network namespace of its own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmlab.files import file_digest
from tests.pipelines.tiny import TINY, TRANSFORMER, environment, new_project, run_command
from tests.tracking.stored import only_run

WRITTEN = ("models/bundle/model.safetensors", "reports/history.csv", "reports/training.json")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
ADDRESSES = ("10.211.7.1", "10.211.7.2")

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose text is encoded."""
    project = new_project(tmp_path_factory.mktemp("encoded") / "project")
    (project / "params.yaml").unlink()
    for command in (["compose", *TINY, *TRANSFORMER], ["clean"], ["encode"]):
        assert run_command(project, *command).returncode == 0
    return project


@pytest.fixture(scope="module")
def by_itself(encoded: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the stage writes where it starts its two processes itself."""
    project = _copied(encoded, tmp_path_factory.mktemp("by_itself"))
    assert run_command(project, "compose", *TINY, *TRANSFORMER, "runtime.devices=2").returncode == 0
    done = run_command(project, "train")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("stage train") == 1
    return _digests(project)


def _copied(project: Path, folder: Path) -> Path:
    return shutil.copytree(project, folder / "project", symlinks=True)


def _digests(project: Path) -> dict[str, str]:
    return {name: file_digest(project / name) for name in WRITTEN}


def test_torchrun_trains_what_the_stage_does_by_itself_and_tells_of_one_run(
    encoded: Path, by_itself: dict[str, str], tmp_path: Path
) -> None:
    project = _copied(encoded, tmp_path)
    command = [*TORCHRUN, "--nproc-per-node", "2", "-m", "pipelines.train"]
    done = subprocess.run(command, cwd=project, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("stage train") == 1
    assert _digests(project) == by_itself
    assert only_run(project).info.status == "FINISHED"


@pytest.fixture
def machines() -> Iterator[dict[str, str]]:
    """Two machines that reach each other and nothing else: the network namespace of each, and its interface."""
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("network namespaces are made by root, with the command ip (Debian: iproute2)")
    names = [f"lmlab-{os.getpid()}-{number}" for number in range(2)]
    links = [f"lm{os.getpid()}-{number}" for number in range(2)]
    made = subprocess.run(["ip", "netns", "add", names[0]], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"this machine lets nobody make a network namespace: {made.stderr.strip()}")
    try:
        _ip("netns", "add", names[1])
        _ip("link", "add", links[0], "netns", names[0], "type", "veth", "peer", "name", links[1], "netns", names[1])
        for name, link, address in zip(names, links, ADDRESSES, strict=True):
            _ip("-n", name, "address", "add", f"{address}/24", "dev", link)
            _ip("-n", name, "link", "set", link, "up")
            _ip("-n", name, "link", "set", "lo", "up")
        yield dict(zip(names, links, strict=True))
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], capture_output=True, check=True)


def test_two_machines_train_what_one_does(
    machines: dict[str, str], encoded: Path, by_itself: dict[str, str], tmp_path: Path
) -> None:
    # Each has a copy of its own: no file is shared between them.
    projects = [_copied(encoded, tmp_path / str(number)) for number in range(2)]
    meeting = ["--nnodes", "2", "--nproc-per-node", "1", "--master-addr", ADDRESSES[0], "--master-port", "29400"]
    processes = [
        subprocess.Popen(
            ["ip", "netns", "exec", name, *TORCHRUN, *meeting, "--node-rank", str(number), "-m", "pipelines.train"],
            cwd=project,
            # These machines have one name, by which gloo would look for its own address.
            env=environment() | {"GLOO_SOCKET_IFNAME": link},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number, ((name, link), project) in enumerate(zip(machines.items(), projects, strict=True))
    ]
    said = [process.communicate(timeout=180)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert _digests(projects[0]) == by_itself
    assert not (projects[1] / "models").exists()
    assert not (projects[1] / "mlflow.db").exists()
