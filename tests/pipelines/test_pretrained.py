"""Pretrained models through the stages of the pipeline: as they are, fine-tuned, exported and applied."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lmlab.applying.opening import open_applier
from lmlab.bundle import load_bundle
from lmlab.errors import InputError
from lmlab.export.exporters import EXPORTERS
from lmlab.files import read_json
from lmlab.model_folders import weights_digest
from lmlab.run import Run
from pipelines.compose import compose
from pipelines.in_process import output_paths
from pipelines.settings import validate_params
from pipelines.stages import MODULES, load_stage
from pipelines.workspace import stage_fingerprints
from tests.corpus import sentences, write_records
from tests.models.pretrained_folders import write_model
from tests.pipelines.tiny import SOURCE, TINY, TRANSFORMER, write_text

pytestmark = pytest.mark.slow

SIZES = [override for override in TINY if "vocabulary_size" not in override and override not in SOURCE]
# The answer to each sentence is its object.
PAIRS = [
    "source=files",
    "source.path=pairs.jsonl",
    "source.columns={source: source, target: target}",
    "task=translation",
    "task.decoding={max_new_tokens: 6, beams: 2}",
]
TUNED = ["training.max_steps=40", "training.learning_rate=0.01", "training.batch_rows=8", "training.log_every_steps=10"]


class Ran(NamedTuple):
    """What stages were run with, and where they wrote."""

    paths: dict[str, Path]
    params: dict[str, Any]


def write_pairs(project: Path) -> None:
    """pairs.jsonl: sentences, each with its object."""
    rows = ({"source": text.strip(), "target": text.split()[-1]} for text in sentences(200, seed=5))
    (project / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def run(project: Path, overrides: list[str], *, until: str) -> Ran:
    """Run the stages up to this one, without tracking."""
    params = compose(overrides)
    paths = output_paths(project / "work", stage_fingerprints(project, params, "made up"))
    for name in list(MODULES)[: list(MODULES).index(until) + 1]:
        load_stage(name).call(validate_params(params), paths, Run())
    return Ran(paths, params)


def _metrics(report: Path) -> Mapping[str, float]:
    return {name: value for name, value in read_json(report).items() if isinstance(value, float) and "/" not in name}


@pytest.mark.parametrize(("kind", "scale"), [("t5", 0.15), ("qwen3", 0.1)])
def test_a_pretrained_model_is_fine_tuned_exported_and_applied(kind: str, scale: float, project: Path) -> None:
    write_pairs(project)
    source = write_model(kind, project / "found", scale=scale)
    overrides = ["model=pretrained", "model.source=found", *PAIRS, *SIZES, *TUNED, "export.artifacts=[hf]"]
    paths, _ = run(project, overrides, until="export")

    report = read_json(paths["training"])
    assert report["started_from"] == weights_digest(source)
    lines = [line.split(",") for line in paths["history"].read_text(encoding="utf-8").splitlines()[1:]]
    losses = [float(line[3]) for line in lines if line[3]]
    assert losses[-1] < 0.7 * losses[0]
    assert read_json(paths["evaluation"])["bits_per_byte"] > 0
    [artifact] = read_json(paths["export_report"])["artifacts"]
    # The same kernels on the same numbers.
    assert artifact["largest_difference"] == 0.0
    assert artifact["same_greedy_tokens"] == 2

    shutil.rmtree(source)
    bundle, form = open_applier(paths["bundle"]), open_applier(paths["export"] / "hf")
    text = "the cat sees the dog."
    prompt = bundle.prompts([{"source": text}], bundle.task.decoding)
    assert form.prompts([{"text": text}], form.task.decoding) == prompt
    [written] = bundle.answer([{"source": text}], decoding=form.task.decoding)
    assert form.answer([{"text": text}]) == [written]
    assert written.text == "".join(form.stream({"text": text}))


@pytest.mark.parametrize(("kind", "until"), [("t5", "report"), ("gpt2", "evaluate")])
def test_a_model_is_evaluated_as_it_is(kind: str, until: str, project: Path) -> None:
    from safetensors.torch import load_file

    write_pairs(project)
    source = write_model(kind, project / "found")
    overrides = ["model=pretrained", "model.source=found", *PAIRS, *SIZES, "training.max_steps=0"]
    paths, _ = run(project, overrides, until=until)
    report = read_json(paths["training"])
    assert (report["steps"], report["tokens"], report["best_step"]) == (0, 0, 0)
    assert report["validation_bits_per_byte"] > 0
    assert len(paths["history"].read_text(encoding="utf-8").splitlines()) == 2
    kept, found = load_file(paths["bundle"] / "model.safetensors"), load_file(source / "model.safetensors")
    assert {name.removeprefix("inner.") for name in kept} == set(found)
    assert all(kept[f"inner.{name}"].equal(tensor) for name, tensor in found.items())
    assert read_json(paths["evaluation"])["bits_per_byte"] > 0
    assert paths["html"].is_file() == (until == "report")


def test_our_own_export_gives_the_numbers_of_the_bundle_that_it_came_from(project: Path) -> None:
    write_text(project)
    own, _ = run(project, [*TINY, *TRANSFORMER], until="evaluate")
    exporter = EXPORTERS.get("hf").build()
    (project / "ours").mkdir()
    exporter.write(own["bundle"], project / "ours")
    overrides = ["model=pretrained", "model.source=ours", *SOURCE, *SIZES, "training.max_steps=0"]
    again, _ = run(project, overrides, until="evaluate")
    expected, found = _metrics(own["evaluation"]), _metrics(again["evaluation"])
    assert set(found) == set(expected) >= {"bits_per_byte", "perplexity"}
    for name, value in expected.items():
        # Two ways to compute one model in float32.
        assert found[name] == pytest.approx(value, rel=1e-5)
    # The tokens of a text decide all draws, so that even samples are the same.
    shown = [read_json(paths["evaluation"])["details"]["samples"] for paths in (own, again)]
    assert shown[0] == shown[1]


def test_a_training_goes_on_from_a_fine_tuned_bundle(project: Path) -> None:
    write_pairs(project)
    write_model("t5", project / "found", scale=0.15)
    overrides = ["model=pretrained", "model.source=found", *PAIRS, *SIZES, *TUNED]
    first, _ = run(project, overrides, until="train")
    bundle = shutil.copytree(first["bundle"], project / "first")
    second, _ = run(project, [*overrides, f"training.start_from={bundle}", "training.max_steps=0"], until="train")
    expected, found = (read_json(paths["training"])["validation_nats_per_token"] for paths in (first, second))
    assert found == expected
    write_model("flan_t5", project / "other")
    other = ["model=pretrained", "model.source=other", f"tokenizer.path={bundle}", *PAIRS, *SIZES]
    with pytest.raises(InputError, match="knows the tokens of its own tokenizer alone"):
        run(project, [*other, f"training.start_from={bundle}"], until="train")


@pytest.mark.parametrize(
    ("kind", "overrides", "message"),
    [
        ("t5", SOURCE, "language_modeling has no prompt, and this model answers prompts: choose a task with one"),
        ("gpt2", [*PAIRS, "tokenizer.path=foreign"], "the model of found knows the tokens of its own tokenizer alone"),
        ("gpt2", [*PAIRS, "task.decoding.max_new_tokens=200"], "the model reads 128 tokens at once, and"),
        ("gpt2", [*SOURCE, "training.carry_state=true"], "cannot carry its state"),
    ],
    ids=["a task without a prompt", "a foreign tokenizer", "too much to read", "a state to carry"],
)
def test_what_does_not_fit_a_pretrained_model_ends_the_training_before_it_begins(
    kind: str, overrides: list[str], message: str, project: Path
) -> None:
    write_pairs(project)
    write_text(project)
    write_model(kind, project / "found")
    write_model("t5", project / "foreign")
    with pytest.raises(InputError, match=message):
        run(project, ["model=pretrained", "model.source=found", *SIZES, *overrides], until="train")


def test_another_model_in_the_folder_makes_another_run(project: Path) -> None:
    write_records(project / "records", {split: ["a"] for split in ("train", "validation", "test")})
    write_model("gpt2", project / "found", seed=1)
    params = compose(["model=pretrained", "model.source=found"])
    before = stage_fingerprints(project, params, "made up")
    assert stage_fingerprints(project, params, "made up") == before
    write_model("gpt2", project / "found", seed=2)
    after = stage_fingerprints(project, params, "made up")
    assert after["clean"] == before["clean"]
    assert after["train"] != before["train"]


def test_a_bundle_is_loaded_without_the_folder_that_its_model_came_from(project: Path) -> None:
    write_pairs(project)
    write_model("gpt2", project / "found")
    overrides = ["model=pretrained", "model.source=found", *PAIRS, *SIZES, "training.max_steps=0"]
    paths, _ = run(project, overrides, until="train")
    bundle = shutil.copytree(paths["bundle"], project / "kept")
    shutil.rmtree(project / "found")
    loaded = load_bundle(bundle)
    assert loaded.config["model"]["source"] is None
    assert loaded.config["training"]["steps"] == 0
