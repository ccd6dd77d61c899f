"""Made-up runs: the files that the stages would have written, with numbers that were chosen, not computed."""

import math
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmlab.applying.applier import changed_decoding
from lmlab.config import read_params, validate
from lmlab.data.task import CuttingSettings, LearnedTask, RankingDecoding, TaskSettings
from lmlab.files import write_json, write_seal
from lmlab.tracking import RunFiles, RunIdentity, open_store
from tests.laws.imports import PROJECT

HISTORY_STEPS = (0, 10, 20, 30)
TASKS = ("language_modeling", "translation", "question_answering", "summarization", "classification")
ALPHABET = "the cat sat"
"""Whose characters the made-up tokenizers know."""
LABELS = ["cat", "sat", "the"]
CONTEXT = 32
MOST_PROMPT_TOKENS = 16
PLOT = '<svg xmlns="http://www.w3.org/2000/svg" width="300" height="100"><path d="M0 0L300 100" stroke="black"/></svg>'


@pytest.fixture(autouse=True)
def _own_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables and no runs: making one takes longer than most tests."""
    folder = tmp_path_factory.mktemp("empty")
    open_store(folder / "whole")
    with (
        closing(sqlite3.connect(folder / "whole" / "mlflow.db")) as whole,
        closing(sqlite3.connect(folder / "mlflow.db")) as empty,
    ):
        whole.backup(empty)
        # The copies make their own experiment, whose artifacts lie beside them.
        empty.execute("DELETE FROM experiment_tags")
        empty.execute("DELETE FROM experiments WHERE name = 'lmlab'")
        empty.commit()
    return folder / "mlflow.db"


@pytest.fixture
def project(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder with an empty store; the working directory, where MLflow's own reader of tables looks."""
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(empty_database, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="module")
def shared_project(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Path]:
    """A project's folder for the tests of a module that only read what its fixtures put there."""
    folder = tmp_path_factory.mktemp("shared") / "project"
    folder.mkdir()
    shutil.copy(empty_database, folder)
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield folder


@pytest.fixture
def identity() -> RunIdentity:
    """An LSTM's run with seed 1."""
    return made_up_identity(model="lstm", seed=1)


@pytest.fixture
def files(tmp_path: Path) -> RunFiles:
    """The files of `identity`'s run."""
    return made_up_files(tmp_path / "outputs", model="lstm", seed=1)


def made_up_identity(
    *, model: str, seed: int, task: str = "language_modeling", parent: str | None = None
) -> RunIdentity:
    settings = {
        "seed": seed,
        "source": {"name": "package_docs", "packages": ["numpy", "scipy"]},
        "task": {"name": task, "metrics": ["bits_per_byte"]},
        "model": {"name": model, "num_layers": 1},
        "training": {"learning_rate": 1e-4, "max_steps": None},
    }
    return RunIdentity(f"{model}{seed}-{task}", f"{model} seed={seed}", settings, "s0urce", "c0de", parent)


def made_up_files(folder: Path, *, model: str, seed: int, task: str = "language_modeling") -> RunFiles:
    level = {"lstm": 2.4, "gru": 2.3, "transformer": 2.1}[model] + 0.01 * seed
    write_json(folder / "cleaning.json", {"source": {"name": "package_docs", "digest": "s0urce"}})
    write_json(folder / "encoding.json", {"tokenizer": {"name": "characters", "vocabulary_size": 8}})
    write_json(folder / "training.json", {"model": model, "parameters": 1234, "steps": 30, "stopped_by": "max_steps"})
    write_json(folder / "export.json", {"artifacts": []})
    write_json(folder / "evaluation.json", _evaluation(level))
    (folder / "history.csv").write_text(_history(level), encoding="utf-8")
    (folder / "plots").mkdir()
    (folder / "plots" / "curves.svg").write_text(PLOT, encoding="utf-8")
    (folder / "report.html").write_text("<h1>Report</h1>", encoding="utf-8")
    (folder / "predictions.parquet").write_bytes(b"rows")
    learned = tiny_task(task)
    _records(folder / "records", learned)
    (folder / "tokens").mkdir()
    write_seal(folder / "tokens", {"stage": "encode"})
    save_tiny_bundle(folder / "export" / "bundle", model=model, seed=seed, task=learned)
    return RunFiles(
        cleaning=folder / "cleaning.json",
        encoding=folder / "encoding.json",
        training=folder / "training.json",
        history=folder / "history.csv",
        evaluation=folder / "evaluation.json",
        plots=folder / "plots",
        predictions=folder / "predictions.parquet",
        export=folder / "export",
        export_report=folder / "export.json",
        report_html=folder / "report.html",
        records=folder / "records",
        tokens=folder / "tokens",
    )


def tiny_task(name: str) -> LearnedTask:
    """The project's own task, with short prompts and answers."""
    task = validate(TaskSettings, read_params(PROJECT / "conf" / "task" / f"{name}.yaml"), path="task")
    is_ranked = isinstance(task.decoding, RankingDecoding)
    learned = task.learned(LABELS if is_ranked else [])
    decoding = learned.decoding if is_ranked else changed_decoding(learned.decoding, {"max_new_tokens": 5})
    field = learned.cutting.field
    limit = None if field is None else MOST_PROMPT_TOKENS
    cutting = CuttingSettings(max_prompt_tokens=limit, field=field, side=learned.cutting.side)
    return learned.model_copy(update={"decoding": decoding, "cutting": cutting})


MODELS = {
    "lstm": {"embedding_width": 8, "width": 8, "layers": 1, "dropout": 0.0, "attention_span": 0},
    "gru": {"embedding_width": 8, "width": 8, "layers": 1, "dropout": 0.0, "attention_span": 0},
    "transformer": {
        **{"width": 32, "layers": 1, "heads": 2, "key_heads": 1, "feed_forward_width": 24},
        **{"rotary_base": 1000.0, "dropout": 0.0},
    },
}


def save_tiny_bundle(folder: Path, *, model: str, seed: int, task: LearnedTask) -> None:
    """An untrained model over the characters of one sentence."""
    import torch

    from lmlab.bundle import build_model, save_bundle
    from lmlab.data.tokenizer import TOKENIZERS, train_tokenizer

    part = TOKENIZERS.get("characters")
    tokenizer = train_tokenizer(
        validate(part.settings, {"name": "characters", "min_frequency": 1, "depends_on": None}, path="tokenizer"),
        iter([ALPHABET]),
    )
    torch.manual_seed(seed)
    settings = {"name": model, **MODELS[model]}
    untrained = build_model(settings, vocabulary_size=tokenizer.vocabulary_size, context_length=CONTEXT, path="model")
    folder.mkdir(parents=True)
    save_bundle(folder, untrained, tokenizer, settings=settings, context_length=CONTEXT, task=task, facts={})


def _evaluation(level: float) -> dict:
    return {
        "bits_per_byte": level,
        "bits_per_byte_low": level - 0.05,
        "bits_per_byte_high": level + 0.05,
        "baseline/unigram/bits_per_byte": 4.9,
        "baseline/xz/bits_per_byte": 2.6,
        "details": {
            "split": "test",
            "samples": [{"prompt": "", "text": "the cat"}, {"prompt": "the", "text": " cat sat"}],
        },
    }


def _history(level: float) -> str:
    rows = ["step,tokens,learning_rate,train_nats_per_token,validation_nats_per_token,validation_bits_per_byte"]
    for step in HISTORY_STEPS:
        nats = level + math.exp(-step / 10)
        validation = f"{nats + 0.1},{level + math.exp(-step / 12)}" if step % 20 == 0 else ","
        rows.append(f"{step},{step * 64},0.001,{nats},{validation}")
    return "\n".join(rows) + "\n"


def _records(folder: Path, task: LearnedTask) -> None:
    """Records whose first one is longer than the second."""
    folder.mkdir()
    fields = task.prompt_fields() or ["text"]
    for split in ("train", "validation", "test"):
        table = pa.table({field: [f"the cat sat {field}", f"sat {field}", " "] for field in fields})
        pq.write_table(table, folder / f"{split}.parquet")
    rows = {"train": 100, "validation": 10, "test": 12}
    write_seal(folder, {"stage": "clean", "source": "s0urce", "fields": fields, "rows": rows})
