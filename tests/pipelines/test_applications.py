"""Every application with every model, from its experiment to its report, with tiny settings."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lmlab.files import check_seal, read_json
from pipelines.compose import compose
from pipelines.in_process import run_pipeline
from tests.corpus import texts
from tests.laws.imports import PROJECT

pytestmark = pytest.mark.slow

MODELS = ("lstm", "gru", "transformer")
SIZES = ["model.width=32", "model.layers=1"]
TINY = [
    "training.max_steps=4",
    "training.batch_rows=4",
    "training.sequence_length=32",
    "training.warmup_steps=1",
    "training.validate_every_steps=2",
    "training.validation_tokens=500",
    "evaluation.bootstrap.num_resamples=20",
    "export.parity.num_prompts=2",
    "export.parity.greedy_tokens=4",
    "runtime.accelerator=cpu",
    "runtime.threads=1",
    "runtime.tracking=false",
]
BPE = ["tokenizer.vocabulary_size=400"]
SHORT = ["task.decoding.max_new_tokens=6"]
OFFLINE = {
    "language_docs": ["source.packages=[networkx]", *BPE, *SHORT, "evaluation.baselines.training_megabytes=1"],
    "translation_phrases": ["source.num_phrases=3000", *BPE, *SHORT],
    "questions_docs": ["source.packages=[networkx]", *BPE, *SHORT],
    "summarization_docs": ["source.packages=[networkx]", *BPE, *SHORT],
    "topics_docs": ["source.packages=[networkx,sqlalchemy]", *BPE],
}
METRICS = {
    "language_modeling": {"bits_per_byte", "perplexity", "next_token_accuracy"},
    "translation": {"bleu", "chrf", "accuracy", "bits_per_byte"},
    "question_answering": {"f1", "exact_match", "bits_per_byte"},
    "summarization": {"rouge1", "rouge2", "rougeL", "bits_per_byte"},
    "classification": {"accuracy", "macro_f1", "calibration_error", "bits_per_byte"},
}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose work/ the runs of this file share, so that each source is cleaned and encoded once."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("conf", "src", "pipelines", "dvc.yaml", "constraints.txt"):
        (folder / name).symlink_to(PROJECT / name)
    return folder


@pytest.fixture(autouse=True)
def _in_project(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work)


def check(paths: dict[str, Path]) -> dict:
    """Whether the report has every metric with its interval, a baseline, and an answer to every prompt."""
    report = read_json(paths["evaluation"])
    details = report["details"]
    assert set(details["metrics"]) == METRICS[details["task"]]
    for name in details["metrics"]:
        assert report[f"{name}_low"] <= report[name] <= report[f"{name}_high"]
    headline = next(iter(details["metrics"]))
    assert any(key.startswith("baseline/") and key.endswith(f"/{headline}") for key in report)
    rows = pq.read_table(paths["predictions"])
    assert rows.num_rows == details["records"]
    assert ("answer" in rows.column_names) == (details["task"] != "language_modeling")
    if details["task"] == "classification":
        assert set(rows["answer"].to_pylist()) <= set(check_seal(paths["tokens"])["task"]["choices"])
    check_seal(paths["export"])
    assert "<svg" in paths["html"].read_text(encoding="utf-8")
    return report


@pytest.mark.parametrize(
    "model", [pytest.param(name, marks=[] if name == "transformer" else pytest.mark.long) for name in MODELS]
)
@pytest.mark.parametrize("experiment", OFFLINE)
def test_every_application_works_with_every_model(work: Path, experiment: str, model: str) -> None:
    params = compose([f"experiment={experiment}", f"model={model}", *OFFLINE[experiment], *SIZES, *TINY])
    check(run_pipeline(params, work, name=experiment, parent=None))


def write_lines(path: Path, rows: list[dict]) -> None:
    """Write JSON lines."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def in_splits(folder: Path, row_of: Callable[[int, str], dict]) -> Path:
    """Files train, validation and test of rows made of a number and a sentence."""
    sentences = texts(140, seed=3)
    for split, begin, end in (("train", 0, 100), ("validation", 100, 120), ("test", 120, 140)):
        write_lines(folder / f"{split}.jsonl", [row_of(number, sentences[number]) for number in range(begin, end)])
    return folder


def laid_out_as(name: str, folder: Path) -> Path:
    """Made-up rows with the columns of the real set; what source.path is set to."""
    if name == "tinyshakespeare":
        (folder / "input.txt").write_text("\n".join(texts(600, seed=2)), encoding="utf-8")
        return folder / "input.txt"
    if name == "tatoeba":
        pairs = [{"en": sentence, "zh": f"第{number}句话。"} for number, sentence in enumerate(texts(400, seed=4))]
        write_lines(folder / "pairs.jsonl", pairs)
        return folder / "pairs.jsonl"
    if name == "fairytaleqa":
        return in_splits(
            folder,
            lambda number, text: {"question": f"Who? {number}", "context": text, "answer": text[:9], "answer2": "no"},
        )
    if name == "scitldr":
        return in_splits(
            folder,
            lambda number, text: {
                "source": [text, f"It is {number}."],
                "target": [text[:9], "more"][: 1 + number % 2],
            },
        )
    return in_splits(folder, lambda number, text: {"text": f"{text} {number}", "intent": f"intent_{number % 5}"})


@pytest.mark.long
@pytest.mark.parametrize("name", ["tinyshakespeare", "tatoeba", "fairytaleqa", "scitldr", "clinc150"])
def test_every_real_set_has_an_experiment_that_reads_its_files(work: Path, tmp_path: Path, name: str) -> None:
    own = [] if name == "tinyshakespeare" else BPE
    path = laid_out_as(name, tmp_path)
    params = compose([f"experiment={name}", f"source.path={path}", *own, *SIZES, *TINY])
    report = check(run_pipeline(params, work, name=name, parent=None))
    assert report["details"]["records"] > 0
