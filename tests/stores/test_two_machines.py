"""Two machines run the whole pipeline at the same time, with nothing in common but the tracking server."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from lmlab.config import read_params
from lmlab.files import file_digest, folder_files, read_json
from lmlab.results import flat_numbers
from lmlab.tracking import open_store
from lmlab.tracking.identity import flat_params
from lmlab.tracking.registry import model_folder
from tests.pipelines.tiny import TINY, TRANSFORMER
from tests.stores.machines import copied_project, ended_well, start_at

pytestmark = pytest.mark.long

SEEDS = (1, 2)
ARTIFACTS = {
    "evaluate": ("evaluation.json", "predictions.parquet", "plots"),
    "train": ("training.json", "history.csv"),
    "clean": ("cleaning.json",),
    "encode": ("encoding.json",),
    "export": ("export.json",),
    "report": ("report.html",),
}
"""What each stage leaves of a run at the server."""
OUTSIDE_REPORTS = ("predictions.parquet", "plots")
FROM_SETTINGS = {"settings.yaml", "samples.json"}


class Machine(NamedTuple):
    """A machine's project and the run that the server has of it."""

    project: Path
    run: Run

    def output(self, stage: str, name: str) -> Path:
        """What the stage has written there."""
        [found] = self.project.glob(f"work/{stage}-*/{name}")
        return found


@pytest.fixture(scope="module")
def machines(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Machine]]:
    """Machines that have run one seed each, side by side."""
    folder = tmp_path_factory.mktemp("machines")
    projects = [copied_project(folder / f"machine{seed}") for seed in SEEDS]
    started = [
        start_at(project, server, "run", *TINY, *TRANSFORMER, f"seed={seed}")
        for project, seed in zip(projects, SEEDS, strict=True)
    ]
    ended_well(*started)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MLFLOW_TRACKING_URI", server)
        store = open_store(folder)
        found = store.client.search_runs([store.experiment_id], "params.`source.name` = 'files'")
        runs = {run.data.params["seed"]: run for run in found}
        assert len(found) == len(SEEDS)
        yield [Machine(project, runs[str(seed)]) for project, seed in zip(projects, SEEDS, strict=True)]


@pytest.fixture
def client(server: str) -> MlflowClient:
    return MlflowClient(server, server)


def _artifacts(client: MlflowClient, run_id: str, folder: str | None = None) -> set[str]:
    found = client.list_artifacts(run_id, folder)
    inner = [_artifacts(client, run_id, one.path) for one in found if one.is_dir]
    return {one.path for one in found if not one.is_dir}.union(*inner)


def test_each_machine_has_one_finished_run_with_its_own_settings(
    machines: list[Machine], client: MlflowClient, tmp_path: Path
) -> None:
    for seed, (project, run) in zip(SEEDS, machines, strict=True):
        assert run.info.status == "FINISHED"
        assert run.info.run_name == f"transformer seed={seed} language_modeling files"
        settings = read_params(Path(client.download_artifacts(run.info.run_id, "settings.yaml", str(tmp_path))))
        assert settings["seed"] == seed
        assert run.data.params == flat_params(settings)
        # Nothing was kept on the machine itself.
        assert not (project / "mlflow.db").exists()
        assert not (project / "mlartifacts").exists()
    first, second = (machine.run.data.params for machine in machines)
    assert {key for key in first if first[key] != second[key]} == {"seed"}


def test_each_point_of_a_curve_is_there_once_and_is_that_of_its_machine(
    machines: list[Machine], client: MlflowClient
) -> None:
    for machine in machines:
        with machine.output("train", "history.csv").open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        for key in [key for key in rows[0] if key != "step"]:
            told = [(one.step, one.value) for one in client.get_metric_history(machine.run.info.run_id, key)]
            assert sorted(told) == [(int(row["step"]), float(row[key])) for row in rows if row[key]]


def test_each_final_metric_is_there_once_and_is_that_of_its_machine(
    machines: list[Machine], client: MlflowClient
) -> None:
    for machine in machines:
        expected = flat_numbers(read_json(machine.output("evaluate", "evaluation.json")))
        assert expected["bits_per_byte"] > 0
        for key, value in expected.items():
            assert [one.value for one in client.get_metric_history(machine.run.info.run_id, key)] == [value]


def test_each_artifact_is_there_and_is_that_of_its_machine(
    machines: list[Machine], client: MlflowClient, tmp_path: Path
) -> None:
    for machine in machines:
        expected = {}
        for stage, names in ARTIFACTS.items():
            for name in names:
                path = machine.output(stage, name)
                place = Path() if name in OUTSIDE_REPORTS else Path("reports")
                for file in folder_files(path) if path.is_dir() else [path]:
                    expected[(place / file.relative_to(path.parent)).as_posix()] = file_digest(file)
        run_id = machine.run.info.run_id
        assert _artifacts(client, run_id) == set(expected) | FROM_SETTINGS
        folder = tmp_path / run_id
        folder.mkdir()
        fetched = Path(client.download_artifacts(run_id, "", str(folder)))
        assert {name: file_digest(fetched / name) for name in expected} == expected


def test_each_model_is_one_version_with_the_weights_of_its_machine(
    machines: list[Machine], client: MlflowClient, tmp_path: Path
) -> None:
    versions = client.search_model_versions("name = 'language_modeling'")
    assert sorted(int(one.version) for one in versions) == [1, 2]
    for machine in machines:
        [version] = [one for one in versions if one.run_id == machine.run.info.run_id]
        fetched = model_folder(tmp_path, f"models:/language_modeling/{version.version}")
        bundle = machine.output("export", "export") / "bundle"
        assert file_digest(fetched / "seal.json") == file_digest(bundle / "seal.json")


def test_a_third_machine_compares_them(machines: list[Machine], server: str, tmp_path: Path) -> None:
    third = copied_project(tmp_path / "third")
    ids = [machine.run.info.run_id for machine in machines]
    [said] = ended_well(start_at(third, server, "compare", "--runs", *ids))
    metrics = [machine.run.data.metrics["bits_per_byte"] for machine in machines]
    # Runs that differ in the seed alone share a row.
    assert f"{sum(metrics) / len(metrics):.3f} ± " in said
    rows = (third / "reports" / "comparison" / "runs.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 1 + len(SEEDS)
