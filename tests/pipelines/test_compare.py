"""A sweep in several processes, and its comparison from the store."""

from pathlib import Path

import pytest

from lmlab.errors import InputError
from lmlab.tracking.reading import Artifacts, children_of, find_sweep, read_runs
from tests.pipelines.tiny import TINY, new_project, run_command

pytestmark = pytest.mark.long

# These sizes have the same names in all three models.
SIZES = ["model.width=48", "model.layers=1"]
SWEEP = ["-m", "model=lstm,gru", "seed=1,2", "hydra/launcher=joblib", *TINY, *SIZES]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a sweep of four jobs, a refused job, and a run with another tokenizer."""
    folder = new_project(tmp_path_factory.mktemp("compared") / "project")
    others = [*[one for one in TINY if "tokenizer" not in one], *SIZES, "model=lstm", "tokenizer=characters"]
    for arguments, code in (
        (others, 0),
        (["-m", "training.learning_rate=-1", *TINY, *SIZES], 2),
        (SWEEP, 0),
    ):
        done = run_command(folder, "run", *arguments)
        assert done.returncode == code, done.stdout + done.stderr
    return folder


@pytest.fixture(autouse=True)
def _in_project(swept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(swept)


def test_jobs_side_by_side_clean_and_encode_once(swept: Path) -> None:
    for stage, count in (("clean", 1), ("encode", 2), ("train", 5)):
        assert len([path for path in swept.glob(f"work/{stage}-*") if path.is_dir()]) == count


def test_the_latest_sweep_is_ranked_with_means_over_seeds(swept: Path, tmp_path: Path) -> None:
    done = run_command(swept, "compare", "--sweep", "latest", "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith(("lstm ", "gru ")) and "±" in line]
    assert {row[0] for row in rows} == {"lstm", "gru"}
    assert all(row[2] == "±" and row[5] == "2" for row in rows)
    assert float(rows[0][1]) <= float(rows[1][1])
    assert "by the paired bootstrap, of the mean over seeds 1, 2." in " ".join(done.stdout.split())
    page = (tmp_path / "out" / "comparison.html").read_text(encoding="utf-8")
    assert page.count("<svg") >= 4
    assert len((tmp_path / "out" / "runs.csv").read_text(encoding="utf-8").splitlines()) == 5


def test_the_best_of_the_latest_sweep_can_be_promoted_without_its_id(swept: Path, tmp_path: Path) -> None:
    by_validation = ["--metric", "validation_bits_per_byte"]
    compared = run_command(swept, "compare", "--sweep", "latest", *by_validation, "--out", str(tmp_path))
    first = next(line.split()[4] for line in compared.stdout.splitlines() if "±" in line)
    done = run_command(swept, "promote", "best", "--champion")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("the best on validation of sweep model=")
    assert f"({first}), " in done.stdout.splitlines()[0]
    assert done.stdout.splitlines()[0].endswith(" bits per byte there, the mean over 2 seeds")
    assert "models:/language_modeling@champion is now version" in done.stdout


def test_a_failed_job_is_counted_and_listed_where_it_is_chosen(swept: Path, tmp_path: Path) -> None:
    done = run_command(swept, "compare", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "not shown: 1 run without an end; " in done.stdout
    done = run_command(swept, "compare", "--where", "params.seed != '77'", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "FAILED: transformer seed=1 language_modeling files: training.learning_rate: must be greater than 0" in said


def test_chosen_runs_with_other_tokens_are_not_ranked_by_a_number_per_token(swept: Path, tmp_path: Path) -> None:
    ids = [run.run_id for run in read_runs(swept, "") if run.state == "FINISHED"]
    chosen = ["--runs", ids[0][:12], ids[-1][:12]]
    refused = run_command(swept, "compare", *chosen, "--metric", "perplexity", "--out", str(tmp_path / "out"))
    assert refused.returncode == 2
    assert "perplexity is per token, and they have another tokenizer" in refused.stderr
    assert refused.stderr.strip().endswith("compare bits_per_byte")
    assert not (tmp_path / "out").exists()
    assert run_command(swept, "compare", *chosen, "--out", str(tmp_path / "out")).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sweep", "nope"], "the store has no such sweep; the newest: 'sweep -m"),
        (["--task", "translation"], "no run has that task; the store's tasks: language_modeling"),
        (["--where", "nonsense ="], "--where: MLflow does not understand this"),
        (["--runs", "zzz"], "--runs zzz: 0 runs are meant by that"),
        (["--task", "language_modeling", "--metric", "bleu"], "no finished run has the metric bleu"),
        (["--where", "params.seed = '77'"], "no finished run"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(swept: Path, arguments: list[str], message: str) -> None:
    done = run_command(swept, "compare", *arguments)
    assert done.returncode == 2
    assert message.replace("sweep -m", "sweep model") in done.stderr
    assert "Traceback" not in done.stderr


def test_runs_are_read_as_they_were_tracked(swept: Path) -> None:
    sweep, name = find_sweep(swept, "latest")
    assert name.startswith("sweep model=lstm,gru seed=1,2")
    children = children_of(read_runs(swept, ""), sweep)
    assert sorted(child.name for child in children) == [f"model={m},seed={s}" for m in ("gru", "lstm") for s in (1, 2)]
    assert {child.seed for child in children} == {"1", "2"}
    assert all(
        child.metrics["seconds/train"] > 0 and child.metrics["memory/train_megabytes"] > 50 for child in children
    )
    with Artifacts(swept) as artifacts:
        evaluation = artifacts.evaluation(children[0].run_id)
        assert evaluation is not None
        assert evaluation["bits_per_byte"] == children[0].metrics["bits_per_byte"]
        assert [step for step, _ in artifacts.curve(children[0].run_id, "validation_bits_per_byte")] == [3, 6]
        assert artifacts.fetch(children[0].run_id, "nothing.txt") is None
    with pytest.raises(InputError, match="no such sweep"):
        find_sweep(swept, "another")
