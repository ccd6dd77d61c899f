"""Made-up runs: the files that the stages would have written, with numbers that were chosen, not computed."""

import math
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from lmlab.files import write_json, write_seal
from lmlab.tracking import RunFiles, RunIdentity, open_store

HISTORY_STEPS = (0, 10, 20, 30)
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


@pytest.fixture
def identity() -> RunIdentity:
    """An LSTM's run with seed 1."""
    return made_up_identity(model="lstm", seed=1)


@pytest.fixture
def files(tmp_path: Path) -> RunFiles:
    """The files of `identity`'s run."""
    return made_up_files(tmp_path / "outputs", model="lstm", seed=1)


def made_up_identity(*, model: str, seed: int) -> RunIdentity:
    decoding = {"max_new_tokens": 5, "sampling": {"temperature": 0.0, "top_k": 0, "top_p": 1.0}}
    settings = {
        "seed": seed,
        "source": {"name": "package_docs", "packages": ["numpy", "scipy"]},
        "task": {"name": "language_modeling", "decoding": decoding},
        "model": {"name": model, "num_layers": 1},
        "training": {"learning_rate": 1e-4, "max_steps": None},
    }
    return RunIdentity(f"{model}{seed}", f"{model} seed={seed}", settings, "s0urce", None)


def made_up_files(folder: Path, *, model: str, seed: int) -> RunFiles:
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
    _records(folder / "records")
    (folder / "tokens").mkdir()
    write_seal(folder / "tokens", {"stage": "encode"})
    save_tiny_bundle(folder / "export" / "bundle")
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


def save_tiny_bundle(folder: Path) -> None:
    """An untrained LSTM over the characters of one sentence."""
    import torch

    from lmlab.bundle import build_model, save_bundle
    from lmlab.config import validate
    from lmlab.data.tokenizer import TOKENIZERS, train_tokenizer

    part = TOKENIZERS.get("characters")
    tokenizer = train_tokenizer(
        validate(part.settings, {"name": "characters", "min_frequency": 1, "depends_on": None}, path="tokenizer"),
        iter(["the cat sat"]),
    )
    torch.manual_seed(0)
    settings = {
        "name": "lstm",
        "embedding_width": 8,
        "width": 8,
        "layers": 1,
        "dropout": 0.0,
        "attention_span": 0,
    }
    model = build_model(settings, vocabulary_size=tokenizer.vocabulary_size, context_length=32, path="model")
    folder.mkdir(parents=True)
    save_bundle(folder, model, tokenizer, settings=settings, context_length=32, facts={})


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


def _records(folder: Path) -> None:
    folder.mkdir()
    for split in ("train", "validation", "test"):
        (folder / f"{split}.parquet").write_bytes(split.encode())
    rows = {"train": 100, "validation": 10, "test": 12}
    write_seal(folder, {"stage": "clean", "source": "s0urce", "fields": ["text"], "rows": rows})
