"""The stage, on a fresh tiny model and real stores of a tiny text."""

import json
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from lmlab.bundle import build_model, save_bundle
from lmlab.config import validate
from lmlab.data.encode import EncodeInputs, EncodeOutputs, EncodeSettings, encode
from lmlab.data.task import TaskSettings
from lmlab.data.tokenizer import TOKENIZERS, Tokenizer
from lmlab.errors import InputError
from lmlab.evaluation.evaluate import EvaluateInputs, EvaluateOutputs, EvaluateSettings, evaluate
from lmlab.evaluation.settings import EvaluationSettings
from lmlab.files import folder_files, write_seal
from lmlab.run import Run
from lmlab.runtime import RuntimeSettings
from tests.corpus import learned

TASK = {
    "name": "language_modeling",
    "version": 1,
    "language": None,
    "prompt": "",
    "target": "{text}",
    "references": None,
    "choices": None,
    "cutting": {"max_prompt_tokens": None, "field": None, "side": "end"},
    "metrics": ["bits_per_byte", "next_token_accuracy"],
    "baselines": ["unigram", "compression"],
    "decoding": {
        "name": "sampling",
        "max_new_tokens": 6,
        "sampling": {"temperature": 1.0, "top_k": 0, "top_p": 1.0},
    },
}
EVALUATION = {
    "reading": {"batch_tokens": 64, "chunk_tokens": 8, "overlap_share": 0.5},
    "bootstrap": {"num_resamples": 40, "seed": 0, "min_documents": 3},
    "baselines": {"training_megabytes": 1, "xz_preset": 6, "zstd_level": 3},
    "samples": {"num_unprompted": 1, "num_prompted": 2, "prompt_tokens": 4},
    "answer_batch_rows": 3,
    "num_length_buckets": 2,
    "num_extremes": 1,
    "num_confused_pairs": 3,
    "attention": {"num_pictures": 1, "max_tokens": 50},
}
RUNTIME = {
    "accelerator": "cpu",
    "devices": 1,
    "strategy": "ddp",
    "threads": None,
    "preparation": {"name": "processes"},
    "workers": 0,
    "checkpoint_every_seconds": 0,
    "tracking": False,
}
MODELS = {
    "lstm": {"name": "lstm", "embedding_width": 8, "width": 8, "layers": 1, "dropout": 0.0, "attention_span": 0},
    "transformer": {
        "name": "transformer",
        "width": 8,
        "layers": 1,
        "heads": 2,
        "key_heads": 1,
        "feed_forward_width": 16,
        "rotary_base": 10000.0,
        "dropout": 0.0,
    },
}
TEXTS = ["the cat sat on the mat", "a dog", "the rain in Spain stays mainly in the plain", "cats and dogs", "naïve"]


def settings(**task: object) -> EvaluateSettings:
    return EvaluateSettings(
        seed=1,
        task=validate(TaskSettings, {**TASK, **task}, path="task"),
        evaluation=validate(EvaluationSettings, EVALUATION, path="evaluation"),
        runtime=validate(RuntimeSettings, RUNTIME, path="runtime"),
    )


def prepare(folder: Path, model_name: str) -> EvaluateInputs:
    inputs = EvaluateInputs(folder / "bundle", folder / "tokens", folder / "records")
    inputs.records.mkdir()
    inputs.bundle.mkdir()
    for split in ("train", "validation", "test"):
        rows = {
            "id": [f"{split}:{n}" for n in range(len(TEXTS))],
            "document_number": list(range(len(TEXTS))),
            "text": TEXTS,
        }
        pq.write_table(pa.table(rows), inputs.records / f"{split}.parquet")
    write_seal(inputs.records, {"stage": "clean", "source": "made up", "fields": ["text"]})
    part = TOKENIZERS.get("characters")
    characters = validate(
        part.settings, {"name": "characters", "min_frequency": 1, "depends_on": None}, path="tokenizer"
    )
    outputs = EncodeOutputs(folder / "tokenizer", inputs.tokens, folder / "encoding.json")
    sections = EncodeSettings(settings().task, characters, settings().runtime)
    encode(sections, EncodeInputs(inputs.records), outputs, Run())
    tokenizer = Tokenizer.load(folder / "tokenizer")
    torch.manual_seed(0)
    model = build_model(MODELS[model_name], vocabulary_size=tokenizer.vocabulary_size, context_length=12, path="model")
    save_bundle(
        inputs.bundle, model, tokenizer, settings=MODELS[model_name], context_length=12, task=learned(), facts={}
    )
    return inputs


def outputs_in(folder: Path) -> EvaluateOutputs:
    return EvaluateOutputs(folder / "evaluation.json", folder / "predictions.parquet", folder / "plots")


@pytest.mark.parametrize("model_name", sorted(MODELS))
def test_the_report_is_the_sum_of_the_predictions(tmp_path: Path, model_name: str) -> None:
    outputs = outputs_in(tmp_path)
    report = evaluate(settings(), prepare(tmp_path, model_name), outputs, Run())
    rows = pq.read_table(outputs.predictions).to_pydict()
    num_bytes = sum(len(text.encode()) for text in TEXTS)
    assert rows["id"] == [f"test:{n}" for n in range(len(TEXTS))]
    assert rows["tokens"] == [len(text) + 1 for text in TEXTS]
    assert sum(rows["bytes"]) == report["details"]["bytes"] == num_bytes
    assert report["bits_per_byte"] == pytest.approx(sum(rows["nats"]) / math.log(2) / num_bytes)
    assert report["next_token_accuracy"] == pytest.approx(sum(rows["correct"]) / sum(rows["tokens"]))
    assert report["bits_per_byte_low"] <= report["bits_per_byte"] <= report["bits_per_byte_high"]
    assert json.loads(outputs.evaluation.read_text(encoding="utf-8")) == report


def test_the_report_has_every_baseline_and_the_samples(tmp_path: Path) -> None:
    report = evaluate(settings(), prepare(tmp_path, "lstm"), outputs_in(tmp_path), Run())
    names = ("unigram", "xz", "zstd", "xz_with_training", "zstd_with_training")
    assert [f"baseline/{name}/bits_per_byte" for name in names] == [key for key in report if "/" in key]
    # The test text is the training text here.
    assert report["baseline/xz_with_training/bits_per_byte"] < report["baseline/xz/bits_per_byte"]
    assert [sample["prompt"] for sample in report["details"]["samples"]] == ["", "the ", "the "]


def test_two_evaluations_write_the_same_bytes(tmp_path: Path) -> None:
    inputs = prepare(tmp_path, "transformer")
    written = []
    for name in ("one", "two"):
        evaluate(settings(), inputs, outputs_in(tmp_path / name), Run())
        written.append([(path.name, path.read_bytes()) for path in folder_files(tmp_path / name)])
    assert written[0] == written[1]
    assert {"baselines.svg", "loss_by_position.csv", "loss_by_length.svg"} <= {name for name, _ in written[0]}


def test_a_misspelt_metric_is_refused_before_any_work(tmp_path: Path) -> None:
    inputs = EvaluateInputs(tmp_path, tmp_path, tmp_path)
    with pytest.raises(InputError, match="did you mean 'perplexity'"):
        evaluate(settings(metrics=["perplexty"]), inputs, outputs_in(tmp_path), Run())


@pytest.mark.parametrize(
    "changed", ["bundle/model.safetensors", "tokens/index.test.safetensors", "records/test.parquet"]
)
def test_an_input_that_was_changed_by_hand_is_named(tmp_path: Path, changed: str) -> None:
    inputs = prepare(tmp_path, "lstm")
    with (tmp_path / changed).open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(InputError, match=f"{changed} was changed"):
        evaluate(settings(), inputs, outputs_in(tmp_path / "out"), Run())
    assert not (tmp_path / "out").exists()
