"""Results are recorded by one command and checked by another, which finds every number that was changed."""

import re
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from lmlab.files import read_json, write_seal
from lmlab.reported.checking import Check
from lmlab.reported.result import read_result, result_path
from pipelines.verify import has_asked, print_checks
from tests.pipelines.tiny import TINY, TRANSFORMER, new_project, run_command

pytestmark = pytest.mark.long

NAME = "tiny"
README = "# Title\n\n<!-- results: tiny -->\n<!-- end of results -->\n\nThe end.\n"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a result of two seeds."""
    folder = new_project(tmp_path_factory.mktemp("recorded") / "project")
    (folder / "README.md").write_text(README, encoding="utf-8")
    done = run_command(folder, "record", NAME, *TINY, *TRANSFORMER, "--seeds", "1", "2")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def project(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "project", symlinks=True))


def test_the_table_of_checks_takes_no_text_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_checks([Check("tiny", "score", "overrides", "[/data] :x:", "source.columns=[text]", None)])
    said = capsys.readouterr().out
    assert all(text in said for text in ("[/data] :x:", "source.columns=[text]", "MISSES", "0 of 1 hold"))


@pytest.mark.parametrize(
    ("checked", "is_chosen", "has_all"),
    [(["a", "b"], True, True), (["a"], True, False), (["a"], False, True), ([], False, False)],
)
def test_what_was_asked_for_is_done_for_each_that_was_chosen_or_for_any_of_all(
    checked: list[str], is_chosen: bool, has_all: bool
) -> None:
    checks = [Check(name, "train", "steps", 1.0, 1.0, None) for name in checked]
    assert has_asked(["a", "b"], checks, is_chosen=is_chosen) == has_all


def test_a_result_says_what_the_trainings_gave(recorded: Path) -> None:
    result = read_result(result_path(recorded, NAME))
    found = sorted(read_json(path)["bits_per_byte"] for path in recorded.glob("work/evaluate-*/evaluation.json"))
    metric = result.metrics["bits_per_byte"]
    assert sorted(metric.by_seed) == found
    assert metric.value == metric.by_seed[0]
    assert metric.mean == pytest.approx(sum(found) / 2)
    assert metric.deviation == pytest.approx((found[1] - found[0]) / 2**0.5)
    assert not [override for override in result.overrides if override.startswith("runtime.")]
    assert result.seconds is not None
    assert result.seconds > 0


def test_the_readmes_table_is_rendered_from_the_result(recorded: Path) -> None:
    text = (recorded / "README.md").read_text(encoding="utf-8")
    metric = read_result(result_path(recorded, NAME)).metrics["bits_per_byte"]
    assert f"| `tiny` | bits per byte, lower is better | {metric.value:.3f} (" in text
    assert text.endswith("<!-- end of results -->\n\nThe end.\n")


def test_an_untouched_result_holds_at_every_level(project: Path) -> None:
    cheap = run_command(project, "verify")
    assert cheap.returncode == 0, cheap.stdout + cheap.stderr
    # The file, the predictions, three numbers for each of three metrics; the records and three metrics again.
    assert cheap.stdout.splitlines()[-1] == "15 of 15 hold"
    trained = run_command(project, "verify", "--sample", "1", "--level", "train")
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert "drawn: tiny\n" in trained.stderr
    assert "stage train\n" in trained.stderr
    # The records and three metrics; tokenizer, parameters, steps and tokens; each value of a baseline.
    baselines = read_result(result_path(project, NAME)).baselines.values()
    count = 4 + 4 + sum(len(baseline.metrics) for baseline in baselines)
    assert trained.stdout.splitlines()[-1] == f"{count} of {count} hold"
    assert not list(project.glob("work/verify-*"))


def test_a_changed_number_is_named(project: Path) -> None:
    path = result_path(project, NAME)
    text = path.read_text(encoding="utf-8")
    value = read_result(path).metrics["perplexity"].value
    path.write_text(text.replace(f"value: {value}", f"value: {value + 0.001}", 1), encoding="utf-8")
    done = run_command(project, "verify")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].endswith("missed: tiny: tiny.yaml, tiny: perplexity")


def test_a_number_that_no_level_finds_again_is_sealed(project: Path) -> None:
    path = result_path(project, NAME)
    text = re.sub(r"parameters: \d+", "parameters: 12", path.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8")
    done = run_command(project, "verify", "--level", "score")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].endswith("missed: tiny: tiny.yaml")


def test_other_weights_are_held_to_the_tolerance_of_the_file(project: Path) -> None:
    bundles = [path.parent for path in project.glob("work/train-*/bundle/model.safetensors")]
    for bundle in bundles:
        weights = load_file(bundle / "model.safetensors")
        save_file({name: tensor * 3 for name, tensor in weights.items()}, bundle / "model.safetensors")
        write_seal(bundle, {"stage": "train"})
    done = run_command(project, "verify", "--level", "evaluate")
    assert done.returncode == 1
    assert "tiny: bits_per_byte" in done.stdout.splitlines()[-1]


def test_a_bundle_that_is_not_here_is_said_and_not_counted(project: Path) -> None:
    shutil.rmtree(project / "work")
    done = run_command(project, "verify")
    assert done.returncode == 0
    assert "tiny: its bundle is not here" in done.stderr
    assert done.stdout.splitlines()[-1] == "11 of 11 hold"
    for arguments in ([], [NAME], ["--sample", "1"]):
        asked = run_command(project, "verify", *arguments, "--level", "evaluate")
        assert asked.returncode == 1
        assert "tiny: its bundle is not here" in asked.stderr
        assert asked.stderr.splitlines()[-1] == "not checked: tiny"


def test_of_data_that_may_not_be_given_away_no_text_is_kept(project: Path) -> None:
    recorded = run_command(project, "record", NAME, *TINY, *TRANSFORMER, "--seeds", "1", "2", "--without-predictions")
    assert recorded.returncode == 0, recorded.stderr
    assert [path.name for path in result_path(project, NAME).parent.iterdir()] == [f"{NAME}.yaml"]
    done = run_command(project, "verify")
    # The file; the records and three metrics from the bundle.
    assert done.stdout.splitlines()[-1] == "5 of 5 hold"
    (project / "my.txt").unlink()
    elsewhere = run_command(project, "verify")
    assert elsewhere.returncode == 0, elsewhere.stderr
    assert elsewhere.stdout.splitlines()[-1] == "1 of 1 hold"
    asked = run_command(project, "verify", "--level", "train")
    assert asked.returncode == 1
    assert "tiny: its source is not here" in asked.stderr
    assert asked.stderr.splitlines()[-1] == "not checked: tiny"
    assert asked.stdout.splitlines()[-1] == "0 of 0 hold"


def test_bad_names_are_refused(project: Path) -> None:
    for arguments, message in (
        (["verify", "tinny"], "did you mean 'tiny'"),
        (["verify", "--sample", "2"], "--sample: 2 of 1 results: give a number from 1 to 1"),
        (["record", "a/b"], "letters, digits and _"),
        (["record", "a", "seed=1"], "--seeds: give every seed once"),
        (["record", "a", "--seeds", "1", "1"], "--seeds: give every seed once"),
    ):
        done = run_command(project, *arguments)
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr
