"""A clone of the project gets from a DVC remote what another has computed, and trains nothing."""

import sys
import urllib.request
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path
from typing import NamedTuple

import pytest

from lmlab.files import read_json
from lmlab.tracking import open_store
from pipelines.stages import MODULES
from tests.stores.clones import commit, git, new_repository, run_module, variables_of
from tests.tracking.servers import free_port, served

pytestmark = pytest.mark.long

BUCKET = "lmlab-data"
PREDICTIONS = "data/predictions.parquet"
# Any do for this server; set, they keep the client from looking for others.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "anybody",
    "AWS_SECRET_ACCESS_KEY": "anything",
    "AWS_DEFAULT_REGION": "us-east-1",
}


class Origin(NamedTuple):
    """A repository whose stages have run."""

    project: Path
    variables: dict[str, str]


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Origin:
    """A repository with the outcome of `dvc repro` committed, its data nowhere but in its own cache."""
    folder = tmp_path_factory.mktemp("origin")
    project, variables = new_repository(folder / "project"), variables_of(folder)
    run_module(project, "pipelines.compose", variables=variables)
    run_module(project, "dvc", "repro", variables=variables)
    commit(project, "The run")
    return Origin(project, variables)


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that speaks S3 and has one empty bucket."""
    pytest.importorskip("moto", reason="moto, a server that speaks S3, is not installed: pip install 'moto[s3]'")
    pytest.importorskip("dvc_s3", reason="dvc-s3 is not installed: pip install -e '.[s3]'")
    folder, port = tmp_path_factory.mktemp("bucket"), free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with served(command, port=port, ready="/moto-api/", folder=folder, variables=variables_of(folder)) as address:
        urllib.request.urlopen(urllib.request.Request(f"{address}/{BUCKET}", method="PUT"), timeout=30).close()
        yield address


def _add_remote(origin: Origin, name: str, address: str, *settings: str) -> None:
    run_module(origin.project, "dvc", "remote", "add", name, address, variables=origin.variables)
    # Else DVC takes what the remote gives under a digest's name for what has that digest.
    for setting in ("verify=true", *settings):
        key, value = setting.split("=", 1)
        run_module(origin.project, "dvc", "remote", "modify", name, key, value, variables=origin.variables)
    commit(origin.project, f"The remote {name}")


def _pushed(origin: Origin, remote: str, folder: Path) -> Path:
    """A fresh clone without any data, all of which is in the remote."""
    said = run_module(origin.project, "dvc", "push", "--remote", remote, variables=origin.variables)
    assert "files pushed" in said
    clone = folder / "clone"
    git(folder, "clone", "--quiet", str(origin.project), str(clone))
    assert not (clone / "data").exists()
    assert not (clone / ".dvc" / "cache").exists()
    return clone


def _repeats_nothing(clone: Path, variables: dict[str, str]) -> None:
    """What `make repro` does up to DVC, which must find every stage done."""
    assert run_module(clone, "pipelines.compose", variables=variables) == "params.yaml is up to date\n"
    said = run_module(clone, "dvc", "repro", variables=variables).splitlines()
    assert said[:-1] == [f"Stage '{name}' didn't change, skipping" for name in MODULES]
    assert git(clone, "status", "--porcelain") == ""
    assert not (clone / "work").exists()


def test_a_clone_gets_a_run_from_a_shared_folder_and_fills_mlflow_in(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _add_remote(origin, "folder", str(tmp_path / "remote"))
    clone = _pushed(origin, "folder", tmp_path)
    run_module(clone, "dvc", "pull", "--remote", "folder", variables=origin.variables)
    _repeats_nothing(clone, origin.variables)

    assert "filled in" in run_module(clone, "pipelines.track", variables=origin.variables)
    evaluation = read_json(origin.project / "reports" / "evaluation.json")
    said = run_module(clone, "pipelines.summary", variables=origin.variables)
    assert f"the model                              {evaluation['bits_per_byte']:.3f}" in said
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    store = open_store(clone)
    [run] = store.client.search_runs([store.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["bits_per_byte"] == evaluation["bits_per_byte"]
    assert run.data.tags["mlflow.source.git.commit"] == git(clone, "rev-parse", "HEAD").strip()
    assert [one.name for one in store.client.search_registered_models()] == ["language_modeling"]


def test_a_clone_gets_a_run_from_an_s3_bucket(origin: Origin, bucket: str, tmp_path: Path) -> None:
    _add_remote(origin, "bucket", f"s3://{BUCKET}/lmlab", f"endpointurl={bucket}")
    reaching = Origin(origin.project, origin.variables | CREDENTIALS)
    clone = _pushed(reaching, "bucket", tmp_path)
    run_module(clone, "dvc", "pull", "--remote", "bucket", variables=reaching.variables)
    _repeats_nothing(clone, origin.variables)
    weights = Path("models") / "bundle" / "model.safetensors"
    assert (clone / weights).read_bytes() == (origin.project / weights).read_bytes()


def test_data_that_changed_in_the_remote_is_not_taken(origin: Origin, tmp_path: Path) -> None:
    _add_remote(origin, "changed", str(tmp_path / "remote"))
    clone = _pushed(origin, "changed", tmp_path)
    name = md5((origin.project / PREDICTIONS).read_bytes(), usedforsecurity=False).hexdigest()
    stored = tmp_path / "remote" / "files" / "md5" / name[:2] / name[2:]
    mode = stored.stat().st_mode
    stored.chmod(0o600)
    stored.write_bytes(b"better predictions")
    stored.chmod(mode)
    with pytest.raises(AssertionError, match="failed to pull data"):
        run_module(clone, "dvc", "pull", "--remote", "changed", PREDICTIONS, variables=origin.variables)
    assert not (clone / PREDICTIONS).exists()


def test_dvc_keeps_what_it_unpickles_where_it_is_told_to(origin: Origin) -> None:
    # By default in a folder of /var/tmp in which every user of the machine may put something.
    assert list(Path(origin.variables["DVC_SITE_CACHE_DIR"]).glob("repo/*/links/cache.db"))
