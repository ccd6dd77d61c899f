"""Machines that meet at a tracking server at the same moment, each with locks that the others do not see."""

import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest
from mlflow import MlflowClient

from lmlab.tracking import open_store, store, track, tracked_run
from lmlab.tracking.registry import RegisteredVersion, register
from lmlab.tracking.run import MlflowRun, begin_run
from tests.tracking.conftest import made_up_files, made_up_identity

pytestmark = pytest.mark.long

GivenT = TypeVar("GivenT")
MACHINES = 3


@pytest.fixture(autouse=True)
def _at_the_server(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    # Threads that change the filters side by side leave them changed.
    with warnings.catch_warnings():
        yield


def _at_once(work: Callable[[Path], GivenT], folder: Path) -> list[GivenT]:
    """What the work gives on each of some machines, which do it at the same time in folders of their own."""
    folders = [folder / f"machine{number}" for number in range(MACHINES)]
    for one in folders:
        one.mkdir()
    with ThreadPoolExecutor(MACHINES) as pool:
        return list(pool.map(work, folders))


def _meet_at(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all machines begin their first call of this method of the client together, and go on from it together."""
    original, barrier, met = getattr(MlflowClient, method), threading.Barrier(MACHINES, timeout=60), set()

    def meeting(*arguments: object, **named: object) -> object:
        if len(met) == MACHINES or threading.get_ident() in met:
            return original(*arguments, **named)
        met.add(threading.get_ident())
        barrier.wait()
        try:
            return original(*arguments, **named)
        finally:
            barrier.wait()

    monkeypatch.setattr(MlflowClient, method, meeting)


def test_machines_that_find_no_experiment_create_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "EXPERIMENT", "first use")
    _meet_at("get_experiment_by_name", monkeypatch)
    stores = _at_once(open_store, tmp_path)
    assert len({one.experiment_id for one in stores}) == 1


def test_machines_that_begin_one_experiment_at_once_share_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = made_up_identity(model="gru", seed=1)
    at = open_store(tmp_path)
    _meet_at("search_runs", monkeypatch)
    _meet_at("create_run", monkeypatch)
    # Of the machine's tags: what follows are the parameters.
    _meet_at("log_batch", monkeypatch)
    begun = _at_once(lambda folder: begin_run(open_store(folder), identity, folder, live=True)[0], tmp_path)
    [run] = at.client.search_runs([at.experiment_id], f"tags.`lmlab.fingerprint` = '{identity.fingerprint}'")
    assert set(begun) == {run.info.run_id}
    assert run.data.params["model.name"] == "gru"


def test_a_point_that_another_machine_has_told_is_not_told_again(tmp_path: Path) -> None:
    identity = made_up_identity(model="gru", seed=2)
    with tracked_run(tmp_path / "quick", identity) as quick, tracked_run(tmp_path / "slow", identity) as slow:
        assert isinstance(quick, MlflowRun)
        assert isinstance(slow, MlflowRun)
        assert quick.run_id == slow.run_id
        for run, steps in ((quick, range(1, 8)), (slow, range(1, 4)), (slow, range(4, 11)), (quick, range(8, 11))):
            for step in steps:
                run.log_metrics({"loss": 1.0 / step}, step=step)
            assert run.flush()
    told = open_store(tmp_path).client.get_metric_history(quick.run_id, "loss")
    assert sorted((point.step, point.value) for point in told) == [(step, 1.0 / step) for step in range(1, 11)]


def test_machines_that_finish_the_first_models_of_a_task_at_once_register_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _meet_at("log_inputs", monkeypatch)
    _meet_at("get_registered_model", monkeypatch)

    def finish(folder: Path) -> tuple[str, ...]:
        seed = int(folder.name.removeprefix("machine"))
        files = made_up_files(folder / "outputs", model="lstm", seed=seed, task="translation")
        return track(folder, made_up_identity(model="lstm", seed=seed, task="translation"), files).logged

    logged = _at_once(finish, tmp_path)
    assert [parts[-1] for parts in logged] == ["registered model"] * MACHINES
    assert not caplog.records
    versions = open_store(tmp_path).client.search_model_versions("name = 'translation'")
    assert sorted(int(one.version) for one in versions) == [1, 2, 3]
    assert len({one.run_id for one in versions}) == MACHINES


def test_machines_that_register_one_model_at_once_give_it_one_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = made_up_files(tmp_path / "outputs", model="lstm", seed=1, task="summarization")
    # Jobs of sweeps are not registered by themselves.
    identity = made_up_identity(model="lstm", seed=1, task="summarization", parent="sweep")
    run_id = track(tmp_path, identity, files).run_id
    _meet_at("search_model_versions", monkeypatch)
    _meet_at("create_model_version", monkeypatch)
    given = _at_once(lambda folder: register(open_store(folder), run_id), tmp_path)
    [version] = open_store(tmp_path).client.search_model_versions("name = 'summarization'")
    assert given == [RegisteredVersion("summarization", int(version.version))] * MACHINES
